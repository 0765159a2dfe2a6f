'use strict';

const { readFile } = require('node:fs/promises');

class Cart {
  constructor() {
    this.lines = new Map();
  }

  add(article, count = 1) {
    const before = this.lines.get(article.id) ?? { article, count: 0 };
    this.lines.set(article.id, { article, count: before.count + count });
    return this;
  }

  get total() {
    return [...this.lines.values()].reduce((sum, { article, count }) => sum + article.price * count, 0);
  }
}

async function main() {
  const articles = JSON.parse(await readFile('articles.json', 'utf8'));
  const cart = new Cart();
  articles.filter((article) => article.price < 10).forEach((article) => cart.add(article));
  console.log(`total: ${cart.total.toFixed(2)}`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

module.exports = { Cart };
