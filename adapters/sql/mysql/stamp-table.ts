/** What is known of a stamp table that other processes make and drop. */
export class StampTable {
  /** Seen when it was last looked for. A statement that needs it fails where that is no longer so. */
  there = false;
}
