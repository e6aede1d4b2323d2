/** All that keys can do, one line each, as the command list shows it. */

export interface Command {
  /** As in `Shortcuts`. */
  key: string
  what: string
}

export const COMMANDS: readonly Command[] = [
  { key: 'e', what: 'Next failure' },
  { key: 'E', what: 'Previous failure' },
  { key: 'c', what: 'Next span of the critical path' },
  { key: 'C', what: 'Previous span of the critical path' },
  { key: 'f', what: 'Find in the trace' },
  { key: 'n', what: 'Next match' },
  { key: 'N', what: 'Previous match' },
  { key: 'Enter', what: 'Open the details of the span' },
  { key: 'z', what: 'Zoom to the span' },
  { key: 'Z', what: 'Only the span and those below it, or all again' },
  { key: '0', what: 'Whole trace: undo the zoom' },
  { key: '+', what: 'Zoom in' },
  { key: '-', what: 'Zoom out' },
  { key: 'a', what: 'Earlier part' },
  { key: 'd', what: 'Later part' },
  { key: '*', what: 'Expand all rows' },
  { key: '1', what: 'Collapse all rows' },
  { key: '2', what: 'Expand two levels' },
  { key: '3', what: 'Expand three levels' },
  { key: 'g', what: 'Equal siblings as one row, or one by one' },
  { key: 'Home', what: 'First row' },
  { key: 'End', what: 'Last row' },
  { key: 'g s', what: 'Go to Search' },
  { key: 'g l', what: 'Go to Live: traces while they arrive' },
  { key: ' ', what: 'Pause or resume the live list' },
  { key: '/', what: 'Edit the query' },
  { key: 't', what: 'Change the time range' },
  { key: '[', what: 'Earlier time range' },
  { key: ']', what: 'Later time range' },
  { key: 'r', what: 'Run again' },
  { key: 'y', what: 'Copy the link' },
  { key: 'D', what: 'Dark or light theme' },
  { key: '?', what: 'Help: all keys, and how to write a query' },
]

/** Those whose words all hold what was typed, in the order of the list. */
export function matching(commands: readonly Command[], typed: string): Command[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean)
  return commands.filter(({ what }) => words.every((word) => what.toLowerCase().includes(word)))
}
