import { open } from 'changeover';
import config from './changeover.config.ts';

/** A service that knows nothing of two stores: it places orders, adds lines to them and reads them until it is told to stop. */
const changeover = await open(config, { name: 'orders-service', logger: 'warn' });
const orders = changeover.repository('orders');

let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    stopped = true;
  });
}

let placed = 0;
for (let number = 10_000; !stopped; number += 1) {
  const key = { customer: `customer-${number % 40}`, number };
  await orders.create({ ...key, placed: new Date(), lines: [{ article: 'a-1', pieces: 1 }] });
  await orders.update(key, (order) => order && { ...order, lines: [...order.lines, { article: 'a-2', pieces: 2 }] });
  const order = await orders.get(key);
  if (order?.lines.length !== 2) throw new Error(`order ${number} came back with ${order?.lines.length} lines`);
  placed += 1;
  await new Promise((resolve) => setTimeout(resolve, 10));
}
await changeover.close();
console.log(`${placed} orders placed, none lost`);
