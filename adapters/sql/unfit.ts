/** Says why a column cannot hold a value: a phrase after `the field "x"`. Never the value itself. */
export class Unfit {
  readonly why: string;
  constructor(why: string) {
    this.why = why;
  }
}
