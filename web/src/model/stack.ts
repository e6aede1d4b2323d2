/** A Python stack trace as frames: the application's own, and those of libraries, the standard library and clew. */

export interface Frame {
  file: string
  line: string
  /** Name of the function, empty where none is given. */
  function: string
  code: string
  isOwn: boolean
}

export interface StackPart {
  /** How this exception follows from the next part: Python's own sentence, empty for the last. */
  reason: string
  /** The line that names the exception. */
  title: string
  /** The call that raised first, then its callers. */
  frames: Frame[]
}

const FRAME = /^[\s|+-]*File "(.+?)", line (\d+)(?:, in (.+))?$/
const REASON = /^[\s|]*(During handling of the above exception|The above exception was the direct cause)/
const FOREIGN =
  /[\\/](?:site|dist)-packages[\\/]|[\\/]lib(?:64)?[\\/]python\d|[\\/]Lib[\\/]|[\\/]clew[\\/]src[\\/]clew[\\/]|^<frozen |^<string>$/

/** Whether a file is of the application: not installed, not of the interpreter, not clew's. */
export function isOwnFile(file: string): boolean {
  return !FOREIGN.test(file)
}

/** The parts of a stack trace, the last raised first; null for text that is no Python stack trace. */
export function parseStack(text: string): StackPart[] | null {
  const parts: StackPart[] = []
  let part: StackPart = { reason: '', title: '', frames: [] }
  let title: string[] = []
  let reason = ''
  const close = () => {
    part.title = title.join('\n').trim()
    if (part.frames.length > 0) parts.push(part)
    part = { reason, title: '', frames: [] }
    title = []
  }
  for (const line of text.split('\n')) {
    const frame = FRAME.exec(line)
    if (frame) {
      const [, file = '', number = '', name = ''] = frame
      part.frames.push({ file, line: number, function: name, code: '', isOwn: isOwnFile(file) })
      title = []
      continue
    }
    if (REASON.test(line)) {
      reason = line.trim()
      close()
      continue
    }
    if (line.includes('Traceback (most recent call last)')) {
      title = []
      continue
    }
    const last = part.frames.at(-1)
    if (last !== undefined && title.length === 0 && /^[\s|]{4}/.test(line)) {
      // Lines of ^ and ~ point into the code above them.
      if (last.code === '' && !/^[\s|^~]*$/.test(line)) last.code = line.replace(/^[\s|]+/, '')
    } else if (line.trim() !== '') {
      title.push(line)
    }
  }
  close()
  if (parts.length === 0) return null
  for (const one of parts) one.frames.reverse()
  return parts.toReversed()
}

export interface FrameRun {
  isOwn: boolean
  frames: Frame[]
}

/** Frames in runs: the application's one after another, those of libraries folded together. */
export function frameRuns(frames: readonly Frame[]): FrameRun[] {
  const runs: FrameRun[] = []
  for (const frame of frames) {
    const last = runs.at(-1)
    if (last?.isOwn === frame.isOwn) last.frames.push(frame)
    else runs.push({ isOwn: frame.isOwn, frames: [frame] })
  }
  return runs
}

/** The last two parts of a path: `bank/client.py`. */
export function shortFile(file: string): string {
  return file.split(/[\\/]/).filter(Boolean).slice(-2).join('/')
}
