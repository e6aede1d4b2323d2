/** An exception with its stack: the application's frames in sight, those of libraries and clew folded between them. */
import { useState } from 'react'
import type { Failure } from '../model/otlp'
import { plural } from '../model/format'
import { frameRuns, parseStack, shortFile, type Frame } from '../model/stack'
import { CopyButton } from './CopyButton'
import { Breakable } from './Names'
import { Value } from './Value'

export function StackTrace({ failure }: { failure: Failure }) {
  const { type, message, stack } = failure
  const parts = parseStack(stack)
  const raw = [`${type}${message === '' ? '' : `: ${message}`}`, stack].filter(Boolean).join('\n')
  return (
    <section aria-label="Error">
      <div className="section-head">
        <h3 className="error-type">
          <Breakable text={type} />
        </h3>
        <CopyButton compact text={raw} name="Copy the error" />
      </div>
      {message === '' && stack === '' ? null : (
        // A focus stop, so that keys can scroll a long stack.
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        <div className="stack" role="region" aria-label="Message and stack" tabIndex={0}>
          {message === '' ? null : <Value text={message} />}
          {parts === null ? (
            stack === '' ? null : (
              <Value text={stack} />
            )
          ) : (
            parts.map((part, index) => (
              // The parts of one stack have no other identity than their place.
              // oxlint-disable-next-line react/no-array-index-key
              <div key={index} className="stack-part">
                {index > 0 ? (
                  <p className="muted">
                    {parts[index - 1]?.reason.includes('direct cause')
                      ? 'caused by '
                      : 'raised while handling '}
                    {part.title}
                  </p>
                ) : null}
                <Frames frames={part.frames} />
              </div>
            ))
          )}
        </div>
      )}
    </section>
  )
}

function Frames({ frames }: { frames: readonly Frame[] }) {
  const runs = frameRuns(frames)
  const hasOwn = frames.some((frame) => frame.isOwn)
  return runs.map((run, index) =>
    run.isOwn || (!hasOwn && run.frames.length === 1) ? (
      // oxlint-disable-next-line react/no-array-index-key
      <ol key={index} className="frames">
        {run.frames.map((frame, at) => (
          // oxlint-disable-next-line react/no-array-index-key
          <FrameLine key={at} frame={frame} />
        ))}
      </ol>
    ) : (
      // oxlint-disable-next-line react/no-array-index-key
      <Folded key={index} frames={run.frames} lead={!hasOwn} />
    ),
  )
}

/** Frames of libraries; `lead` keeps the first in sight, where the application has none. */
function Folded({ frames, lead }: { frames: readonly Frame[]; lead: boolean }) {
  const [isOpen, setOpen] = useState(false)
  const shown = isOpen ? frames : lead ? frames.slice(0, 1) : []
  const hidden = frames.length - (lead ? 1 : 0)
  return (
    <>
      {shown.length > 0 ? (
        <ol className="frames frames-foreign">
          {shown.map((frame, at) => (
            // oxlint-disable-next-line react/no-array-index-key
            <FrameLine key={at} frame={frame} />
          ))}
        </ol>
      ) : null}
      {hidden > 0 ? (
        <button
          type="button"
          className="link-button frames-more"
          aria-expanded={isOpen}
          onClick={() => setOpen(!isOpen)}
        >
          {isOpen ? '− ' : '+ '}
          {plural(hidden, 'frame')} of libraries
        </button>
      ) : null}
    </>
  )
}

function FrameLine({ frame }: { frame: Frame }) {
  return (
    <li title={`${frame.file}, line ${frame.line}`}>
      <span className="frame-place">
        {shortFile(frame.file)}:{frame.line}
      </span>{' '}
      <span className="frame-function">{frame.function}</span>
      {frame.code === '' ? null : <span className="frame-code">{frame.code}</span>}
    </li>
  )
}
