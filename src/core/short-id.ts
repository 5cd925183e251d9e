/** As much of a key as a message names. */
const LONGEST_ID = 200;

/** The id of an entry for messages. */
export const shortId = (id: string): string => (id.length > LONGEST_ID ? `${id.slice(0, LONGEST_ID)}…` : id);
