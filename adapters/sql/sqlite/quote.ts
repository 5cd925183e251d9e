/** A name as SQL has it. */
export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
