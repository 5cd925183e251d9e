import { MongoClient } from 'mongodb';
import { places } from './places.ts';

/** What the application has left in MongoDB over the years: events of 200 users. */
const count = Number(process.argv[2] ?? 20_000);
const client = new MongoClient(places.mongodb);
const events = client.db(places.database).collection<{ _id: string }>('events');
const TYPES = ['order placed', 'order shipped', 'payment received', 'complaint'];
for (let from = 0; from < count; from += 1_000) {
  const batch = Array.from({ length: Math.min(1_000, count - from) }, (_, i) => {
    const n = from + i;
    return {
      _id: `seed-${n}`,
      userKey: `user-${n % 200}`,
      type: TYPES[n % TYPES.length],
      receivedAt: new Date(1_700_000_000_000 + n * 1_000),
      deliveries: 1,
      payload: {
        'order.number': n,
        amount: (n % 997) / 100,
        $source: n % 2 === 0 ? 'web' : 'shop',
        tags: ['a', null, ''],
      },
    };
  });
  await events.insertMany(batch);
}
console.log(`${await events.countDocuments()} events in MongoDB`);
await client.close();
