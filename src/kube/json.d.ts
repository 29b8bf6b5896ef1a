// ES2026 parts of JSON that Node 24 has and lib es2025 does not type (ECMA-262, JSON.parse source text access).
interface JSON {
  /** What JSON.stringify prints as `text`, unchanged: the only way to print a number that no double holds. */
  rawJSON(text: string): object;
  isRawJSON(value: unknown): boolean;
  parse(
    text: string,
    // biome-ignore lint/suspicious/noExplicitAny: the signature of lib.es5, with its third argument
    reviver: (this: any, key: string, value: any, context: { readonly source?: string }) => any,
    // biome-ignore lint/suspicious/noExplicitAny: as above
  ): any;
}
