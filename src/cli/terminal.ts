import { styleText } from 'node:util';

type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow';

/**
 * Where a command's words go: results to stdout, everything about how it went to stderr. With `--json` stdout gets one
 * document and nothing else.
 */
export class Terminal {
  readonly json: boolean;

  constructor(json: boolean) {
    this.json = json;
  }

  /** A result for people; left out where a document is asked for. */
  say(text = ''): void {
    if (!this.json) process.stdout.write(`${text}\n`);
  }

  /** A diagnostic. */
  note(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  /** The one document of `--json`. */
  document(data: unknown): void {
    const text = JSON.stringify(data, (_, item: unknown) => (typeof item === 'bigint' ? `${item}` : item), 2);
    process.stdout.write(`${text}\n`);
  }

  /** Coloured where stdout is a terminal and NO_COLOR does not forbid it. */
  style(style: Style, text: string): string {
    return styleText(style, text, { stream: process.stdout });
  }

  /** The same for stderr. */
  noteStyle(style: Style, text: string): string {
    return styleText(style, text, { stream: process.stderr });
  }
}
