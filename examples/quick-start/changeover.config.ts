import { defineConfig, migration } from 'changeover';
import { sql } from 'changeover/sql';

/** An order as the service sees it, wherever it is stored. */
export interface Order {
  readonly customer: string;
  readonly number: number;
  readonly placed: Date;
  readonly lines: readonly { readonly article: string; readonly pieces: number }[];
}

export default defineConfig({
  control: 'sqlite:.changeover/control.db',
  migrations: {
    orders: migration<Order>({
      key: ['customer', 'number'],
      unit: 'customer',
      old: sql({
        client: 'better-sqlite3',
        connection: 'old.db',
        table: 'orders',
        columns: { customer: 'customer', number: 'number', placed: { type: 'date' }, lines: { type: 'json' } },
      }),
      new: sql({
        client: 'better-sqlite3',
        connection: 'new.db',
        table: 'sales_orders',
        columns: { customer: 'customer_id', number: 'order_no', placed: { type: 'date' } },
        document: 'body',
      }),
    }),
  },
});
