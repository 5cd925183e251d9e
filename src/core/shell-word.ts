/** An argument as a shell reads it as one word, for commands that can be pasted. */
export const shellWord = (text: string): string =>
  /^[\w:.,@#%+/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
