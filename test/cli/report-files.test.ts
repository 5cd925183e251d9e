import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { ReportFiles } from '../../src/cli/report-files.ts';
import { Terminal } from '../../src/cli/terminal.ts';
import { reportDocument } from '../../verify/reports/report-document.ts';
import { sampleDivergence, sampleReport } from '../verify/sample-report.ts';

const document = reportDocument(sampleReport([sampleDivergence('ada')]));

/** A terminal that keeps what it is told. */
class Notes extends Terminal {
  readonly said: string[] = [];
  readonly noted: string[] = [];

  override say(text = ''): void {
    this.said.push(text);
  }

  override note(text: string): void {
    this.noted.push(text);
  }
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'changeover-reports-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test.each([
  ['htm=a.html', /cannot be "htm=a\.html"/, 'html'],
  ['junit', /cannot be "junit"/, undefined],
  ['junit=', /cannot be "junit="/, undefined],
  ['=a.xml', /cannot be "=a\.xml"/, undefined],
  ['', /cannot be ""/, undefined],
  ['json=a,junit=./a', /twice/, undefined],
])('--report %j is refused', (text, message, nearest) => {
  const make = () => new ReportFiles(text, '/somewhere');
  expect(make).toThrow(message);
  if (nearest !== undefined)
    expect(make).toThrow(expect.objectContaining({ remedy: expect.stringContaining(nearest) }));
  else expect(make).not.toThrow(expect.objectContaining({ remedy: expect.stringContaining('did you mean') }));
});

test('reports are written whole, into folders that are made, and nothing else is left', async () => {
  const path = folder();
  const terminal = new Notes(false);
  const files = new ReportFiles('junit=out/deep/a.xml, html=out/b.html,github', path);
  await files.clear();
  await files.write(document, terminal);
  expect(readdirSync(join(path, 'out')).sort()).toEqual(['b.html', 'deep']);
  expect(readdirSync(join(path, 'out/deep'))).toEqual(['a.xml']);
  expect(readFileSync(join(path, 'out/deep/a.xml'), 'utf8')).toContain('</testsuites>\n');
  expect(terminal.noted).toEqual([
    `junit report: ${join(path, 'out/deep/a.xml')}`,
    `html report: ${join(path, 'out/b.html')}`,
  ]);
});

test('a report of an earlier run is gone before the next one begins', async () => {
  const path = folder();
  writeFileSync(join(path, 'a.xml'), 'green');
  await new ReportFiles('junit=a.xml', path).clear();
  expect(readdirSync(path)).toEqual([]);
});

test('what cannot be written is refused before the work, by the name of the file', async () => {
  const path = folder();
  mkdirSync(join(path, 'a.xml'));
  writeFileSync(join(path, 'file'), '');
  for (const name of ['a.xml', 'file/b.xml']) {
    const failure = await new ReportFiles(`junit=${name}`, path).clear().then(
      () => null,
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(join(path, name)) });
  }
});

test.skipIf(process.platform !== 'linux')(
  'a folder where none can be made is refused, not tried for ever',
  async () => {
    await expect(new ReportFiles('json=/proc/nowhere/deep/a.json', '/').clear()).rejects.toThrow(
      /cannot be written to \/proc\/nowhere\/deep\/a\.json: ENOENT/,
    );
  },
);

test('annotations stand on stdout, and on stderr where stdout is for the document', () => {
  const files = new ReportFiles('github', '/');
  const [plain, json] = [new Notes(false), new Notes(true)];
  for (const terminal of [plain, json]) files.annotate(document, terminal);
  expect(plain.said.join()).toMatch(/^::error title=events%3A divergent::/);
  expect(plain.noted).toEqual([]);
  expect(json.noted).toEqual(plain.said);
  expect(json.said).toEqual([]);
});

test('a report that cannot be written leaves nothing behind', async () => {
  const path = folder();
  mkdirSync(join(path, 'a.html'));
  const write = new ReportFiles('html=a.html', path).write(document, new Notes(false));
  await expect(write).rejects.toThrow(/html report cannot be written/);
  expect(readdirSync(path)).toEqual(['a.html']);
});

test('what is no regular file is neither removed nor replaced', async () => {
  const path = folder();
  writeFileSync(join(path, 'target.md'), 'mine');
  symlinkSync('target.md', join(path, 'link.md'));
  symlinkSync('nowhere', join(path, 'dangling.md'));
  mkdirSync(join(path, 'folder.md'));
  for (const name of ['link.md', 'dangling.md', 'folder.md']) {
    const files = new ReportFiles(`markdown=${name}`, path);
    await expect(files.clear()).rejects.toThrow(/no regular file/);
  }
  // A device.
  await expect(new ReportFiles('json=/dev/null', path).clear()).rejects.toThrow(/no regular file/);
  expect(statSync('/dev/null').isFile()).toBe(false);
  expect(readdirSync(path).sort()).toEqual(['dangling.md', 'folder.md', 'link.md', 'target.md']);
  expect(readFileSync(join(path, 'link.md'), 'utf8')).toBe('mine');
});
