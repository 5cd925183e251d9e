/** An event of a user, wherever it is stored. */
export interface Event {
  readonly userKey: string;
  readonly id: string;
  readonly type: string;
  readonly receivedAt: Date;
  /** How often it was posted. */
  readonly deliveries: number;
  readonly payload: { readonly [field: string]: unknown };
}
