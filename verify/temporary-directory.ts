import { mkdtemp, open, rm, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvalidConfiguration } from '../src/core/errors.ts';

/** The part of a file handle that spilling needs; `close` is idempotent and removes the file. */
export interface SpillFile {
  write(buffer: Uint8Array, position: number): Promise<void>;
  read(buffer: Uint8Array, position: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * A directory for one run's spill files, made when the first file is: a run that fits into memory leaves no trace.
 * `close` removes everything, files before the directory.
 */
export class TemporaryDirectory {
  readonly #parent: string;
  #path: Promise<string> | null = null;
  readonly #files = new Set<SpillFile>();
  #count = 0;

  constructor(parent: string = tmpdir()) {
    this.#parent = parent;
  }

  /** @throws InvalidConfiguration, as its `write` does, where the folder takes no files or no more of them */
  async file(): Promise<SpillFile> {
    this.#count += 1;
    const name = `${this.#count}.spill`;
    const { path, handle } = await this.#attempt(async () => {
      this.#path ??= mkdtemp(join(this.#parent, 'changeover-verify-'));
      const path = join(await this.#path, name);
      return { path, handle: await open(path, 'wx+', 0o600) };
    });
    const file: SpillFile = {
      write: (buffer, position) =>
        this.#attempt(async () => {
          for (let done = 0; done < buffer.byteLength; ) {
            const { bytesWritten } = await handle.write(buffer, done, buffer.byteLength - done, position + done);
            done += bytesWritten;
          }
        }),
      async read(buffer, position) {
        for (let done = 0; done < buffer.byteLength; ) {
          const { bytesRead } = await handle.read(buffer, done, buffer.byteLength - done, position + done);
          if (bytesRead === 0) throw new RangeError('a spill file is shorter than what was written to it');
          done += bytesRead;
        }
      },
      close: async () => {
        if (!this.#files.delete(file)) return;
        await handle.close();
        await unlink(path);
      },
    };
    this.#files.add(file);
    return file;
  }

  async close(): Promise<void> {
    const path = this.#path;
    this.#path = null;
    for (const file of [...this.#files].reverse()) await file.close();
    // Where it could not be made there is nothing to remove.
    const made = await path?.catch(() => null);
    if (made != null) await rm(made, { recursive: true, force: true });
  }

  /** What a disk refuses is for whoever has to make room, not a mistake of ours. */
  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      if (!/^E[A-Z0-9]+$/.test(code)) throw error;
      throw new InvalidConfiguration(`what does not fit into memory cannot be written to ${this.#parent}: ${code}`, {
        expected: 'room for about 50 bytes of each record of both stores',
        remedy: 'make room there, or name another folder by TMPDIR, then verify again',
        cause: error,
      });
    }
  }
}
