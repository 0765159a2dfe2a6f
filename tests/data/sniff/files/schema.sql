-- Orders and their lines.
BEGIN TRANSACTION;

CREATE TABLE IF NOT EXISTS customers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       VARCHAR(100) NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE orders (
    id          INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    total       DECIMAL(10, 2) CHECK (total >= 0)
);

CREATE INDEX orders_by_customer ON orders (customer_id);

INSERT INTO customers (name) VALUES ('Ada'), ('Grace');

SELECT c.name, COUNT(o.id) AS orders, SUM(o.total) AS spent
FROM customers AS c
LEFT JOIN orders AS o ON o.customer_id = c.id
WHERE c.created_at > '2024-01-01'
GROUP BY c.name
HAVING COUNT(o.id) > 0
ORDER BY spent DESC
LIMIT 10;

COMMIT;
