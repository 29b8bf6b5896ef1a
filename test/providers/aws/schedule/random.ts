export function anyOf<T>(random: () => number, of: readonly T[]): T | undefined {
  return of[Math.floor(random() * of.length)];
}

export function pick<T>(random: () => number, of: readonly T[]): T {
  return of[Math.floor(random() * of.length)] as T;
}

export function draw<T>(random: () => number, of: readonly (readonly [number, T])[]): T {
  let left = random() * of.reduce((sum, [weight]) => sum + weight, 0);
  const found = of.find(([weight]) => {
    left -= weight;
    return left < 0;
  });
  return (found ?? (of.at(-1) as readonly [number, T]))[1];
}
