/**
 * Turns single items into lists: all of one turn go to `deliver` together. A block's write serves hundreds of Services in
 * the same turn.
 */
export function gathering<T>(deliver: (items: readonly T[]) => void): (item: T) => void {
  let items: T[] = [];
  return (item) => {
    items.push(item);
    if (items.length > 1) return;
    queueMicrotask(() => {
      const all = items;
      items = [];
      deliver(all);
    });
  };
}
