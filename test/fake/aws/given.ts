/** An input that has been checked: what AWS requires is there, at every depth. */
export type Given<T> = T extends readonly (infer Item)[]
  ? readonly Given<Item>[]
  : T extends Date | string | number | boolean | undefined
    ? T
    : { readonly [K in keyof T]: object extends Pick<T, K> ? Given<T[K]> : Exclude<Given<T[K]>, undefined> };
