import { EventEmitter } from 'node:events';

export interface Article {
  readonly id: string;
  name: string;
  price?: number;
}

type Listener<T> = (value: T, previous: T | undefined) => void;

export abstract class Store<T extends { id: string }> extends EventEmitter {
  private readonly items: Map<string, T> = new Map<string, T>();

  protected abstract validate(item: T): boolean;

  public put(item: T): void {
    if (!this.validate(item)) {
      throw new TypeError(`invalid item ${item.id}`);
    }
    const previous: T | undefined = this.items.get(item.id);
    this.items.set(item.id, item);
    this.emit('put', item, previous);
  }

  public onPut(listener: Listener<T>): this {
    return this.on('put', listener as (...args: unknown[]) => void);
  }
}

export class ArticleStore extends Store<Article> {
  protected validate(item: Article): boolean {
    return item.name.length > 0 && (item.price ?? 0) >= 0;
  }
}
