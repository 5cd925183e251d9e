import { access, constants, lstat, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { ReportDocument } from '../../verify/reports/report-document.ts';
import { REPORT_FORMATS, type ReportFormat, writeReport } from '../../verify/reports/write-report.ts';
import { InvalidArgument } from '../core/errors.ts';
import { didYouMean } from './nearest.ts';
import type { Terminal } from './terminal.ts';

interface ReportFile {
  readonly format: ReportFormat;
  readonly file: string;
}

/** What `--report junit=out.xml,github` asks for: the files of a verification's reports. */
export class ReportFiles {
  readonly #files: readonly ReportFile[];
  readonly #annotations: boolean;

  /** @throws InvalidArgument */
  constructor(text: string | undefined, folder: string) {
    const parts = text === undefined ? [] : text.split(',').map(partOf);
    this.#annotations = parts.some(({ file }) => file === null);
    this.#files = parts.flatMap(({ format, file }) => (file === null ? [] : [{ format, file: resolve(folder, file) }]));
    const twice = this.#files.find(({ file }, i) => this.#files.findIndex((other) => other.file === file) !== i);
    if (twice !== undefined) {
      throw new InvalidArgument(`--report names ${twice.file} twice`, { expected: 'a file of its own for each form' });
    }
  }

  /**
   * Takes the reports of an earlier run away, so that none of them is taken for this one's if it fails, and makes sure
   * before hours of work that the new ones can be written. @throws InvalidArgument
   */
  async clear(): Promise<void> {
    for (const { format, file } of this.#files) {
      await attempt(format, file, async () => {
        await makeFolder(dirname(file));
        await access(dirname(file), constants.W_OK);
        await mustBeFile(format, file);
        await rm(file, { force: true });
      });
    }
  }

  /** @throws InvalidArgument where a file cannot be written */
  async write(document: ReportDocument, terminal: Terminal): Promise<void> {
    for (const { format, file } of this.#files) {
      await attempt(format, file, async () => {
        // Whole or not at all: whoever collects reports may look at any time.
        const draft = `${file}.${process.pid}.tmp`;
        try {
          await writeFile(draft, writeReport(document, format));
          await rename(draft, file);
        } catch (error) {
          await rm(draft, { force: true });
          throw error;
        }
      });
      terminal.note(`${format} report: ${file}`);
    }
  }

  /** GitHub Actions reads annotations from both streams; with --json stdout has its document. */
  annotate(document: ReportDocument, terminal: Terminal): void {
    if (!this.#annotations) return;
    const lines = writeReport(document, 'github').trimEnd();
    if (terminal.json) terminal.note(lines);
    else terminal.say(lines);
  }
}

function partOf(part: string): { readonly format: ReportFormat; readonly file: string | null } {
  const at = part.indexOf('=');
  const name = (at < 0 ? part : part.slice(0, at)).trim();
  const file = at < 0 ? null : part.slice(at + 1).trim();
  const format = REPORT_FORMATS.find((known) => known === name);
  if (format !== undefined && (file === null ? format === 'github' : file !== '')) return { format, file };
  throw new InvalidArgument(`--report cannot be "${part}"`, {
    expected: `form=file, the form one of ${REPORT_FORMATS.join(', ')}; or github alone`,
    ...(format === undefined ? didYouMean(name, REPORT_FORMATS) : {}),
  });
}

/** What stands there is replaced: a device, a pipe or a link, as /dev/stdout is one, would be gone. */
async function mustBeFile(format: ReportFormat, file: string): Promise<void> {
  const there = await lstat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (there === null || there.isFile()) return;
  throw new InvalidArgument(`the ${format} report cannot be written to ${file}: it is no regular file`, {
    expected: 'the name of a file, which a report before may have; no device, link or folder',
  });
}

/** A folder with those above it. Node's own way never comes to an end where one of them takes no folders (/proc). */
async function makeFolder(folder: string): Promise<void> {
  const made = async (): Promise<boolean> => {
    try {
      await mkdir(folder);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOENT') return false;
      if (code !== 'EEXIST') throw error;
    }
    return true;
  };
  if (await made()) return;
  if (dirname(folder) !== folder) await makeFolder(dirname(folder));
  await mkdir(folder);
}

async function attempt(format: ReportFormat, file: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!/^E[A-Z0-9_]+$/.test(code)) throw error;
    throw new InvalidArgument(`the ${format} report cannot be written to ${file}: ${code}`, {
      expected: 'a file in a folder that this user may write to',
      cause: error,
    });
  }
}
