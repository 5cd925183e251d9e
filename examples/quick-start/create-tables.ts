import Database from 'better-sqlite3';

const old = new Database('old.db');
old.exec(`CREATE TABLE orders (
  customer TEXT NOT NULL, number INTEGER NOT NULL, placed TEXT NOT NULL, lines TEXT NOT NULL,
  PRIMARY KEY (customer, number))`);
const insert = old.prepare('INSERT INTO orders VALUES (?, ?, ?, ?)');
for (let number = 0; number < 500; number += 1) {
  const lines = JSON.stringify([{ article: `a-${number % 7}`, pieces: 1 + (number % 3) }]);
  insert.run(`customer-${number % 40}`, number, new Date(1_750_000_000_000 + number * 60_000).toISOString(), lines);
}
old.close();

const fresh = new Database('new.db');
fresh.exec(`CREATE TABLE sales_orders (
  customer_id TEXT NOT NULL, order_no INTEGER NOT NULL, placed TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (customer_id, order_no))`);
fresh.close();
