/**
 * The SDK carries AWS's own model of every request and answer, to write and to read them. The fake reads the same model,
 * so that a name that we misspell, or an answer that we forget, is not agreed upon by both sides.
 */
export type Shape =
  | { readonly kind: 'string' | 'number' | 'boolean' | 'timestamp' }
  | { readonly kind: 'list'; readonly item: Shape /** Element name in an answer. */; readonly itemName: string }
  | Struct;

export interface Struct {
  readonly kind: 'struct';
  readonly name: string;
  readonly members: readonly Member[];
}
export interface Member {
  readonly name: string;
  readonly required: boolean;
  readonly shape: Shape;
  /** Its name in a form and in an answer, where that differs from `name`. */
  readonly queryName?: string;
  readonly xmlName?: string;
}
export interface OperationModel {
  readonly name: string;
  readonly input: Struct;
  readonly output: Struct;
}

/** What `import * as sdk` of a client package gives; its schemas are the members whose names end in `$`. */
export type SdkModule = Readonly<Record<string, unknown>>;

type Raw = readonly unknown[];
interface Traits {
  readonly xmlName?: string;
  readonly ec2QueryName?: string;
}

/** First element of a schema, after @smithy/types. */
const LIST = 1;
const STRUCT = 3;
const ERROR = -3;
const OPERATION = 9;
/** Simple schemas, which are numbers; 64 more is a list of them. */
const simple = {
  0: 'string',
  1: 'number',
  2: 'boolean',
  4: 'timestamp',
  5: 'timestamp',
  7: 'timestamp',
  // Blobs, which nothing here looks into.
  21: 'string',
} as const;
const LIST_OF = 64;

/** Undefined when the service has no such operation. */
export function operationOf(sdk: SdkModule, name: string): OperationModel | undefined {
  const raw = sdk[`${name}$`];
  if (!Array.isArray(raw) || raw[0] !== OPERATION) return undefined;
  return { name, input: structOf(raw[4]), output: structOf(raw[5]) };
}

/** AWS's error code -> the name that the SDK gives its class, of all errors that the service's model knows. */
export function errorNames(sdk: SdkModule): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const raw of Object.values(sdk)) {
    if (!Array.isArray(raw) || raw[0] !== ERROR) continue;
    const [, , name, traits] = raw as [number, string, string, { readonly awsQueryError?: readonly [string, number] }];
    names.set(traits.awsQueryError?.[0] ?? name, name);
  }
  return names;
}

const structs = new WeakMap<object, Shape>(); // raw schema -> its shape: a model of EC2 is large, and refers to itself

function structOf(ref: unknown): Struct {
  const { shape } = shapeOf(ref);
  if (shape.kind !== 'struct') throw new TypeError('the input or output of an operation is no structure');
  return shape;
}

/** A reference is a schema, a function that returns one, or a pair of one and the traits that it has at this place. */
function shapeOf(ref: unknown): { readonly shape: Shape; readonly traits: Traits } {
  if (Array.isArray(ref) && ref.length === 2) {
    const inner = shapeOf(ref[0]);
    return { shape: inner.shape, traits: { ...inner.traits, ...(typeof ref[1] === 'object' ? ref[1] : {}) } };
  }
  if (typeof ref === 'function') return shapeOf(ref());
  if (typeof ref === 'number') return { shape: simpleOf(ref), traits: {} };
  if (ref === 'unit') return { shape: { kind: 'struct', name: ref, members: [] }, traits: {} };
  const raw = ref as Raw;
  const known = structs.get(raw);
  if (known !== undefined) return { shape: known, traits: {} };
  const shape = compositeOf(raw);
  structs.set(raw, shape);
  return { shape, traits: {} };
}

function simpleOf(code: number): Shape {
  if (code >= LIST_OF) return { kind: 'list', item: simpleOf(code - LIST_OF), itemName: 'member' };
  const kind = simple[code as keyof typeof simple];
  if (kind === undefined) throw new TypeError(`a schema of kind ${code} is not known here`);
  return { kind };
}

function compositeOf(raw: Raw): Shape {
  switch (raw[0]) {
    case 0:
      return simpleOf(raw[4] as number);
    case LIST:
      return {
        kind: 'list',
        get item() {
          return shapeOf(raw[4]).shape;
        },
        get itemName() {
          return shapeOf(raw[4]).traits.xmlName ?? 'member';
        },
      };
    case STRUCT:
      return lazyStruct(raw);
    default:
      throw new TypeError(`a schema of kind ${String(raw[0])} is not known here`);
  }
}

/** Its members are looked at when they are asked for: structures contain themselves. */
function lazyStruct(raw: Raw): Struct {
  const [, , name, , names, refs, required = 0] = raw as [
    number,
    string,
    string,
    unknown,
    string[],
    unknown[],
    number?,
  ];
  let members: readonly Member[] | undefined;
  return {
    kind: 'struct',
    name,
    get members() {
      members ??= names.map((member, index) => {
        const { shape, traits } = shapeOf(refs[index]);
        return {
          name: member,
          required: index < required,
          shape,
          ...(traits.xmlName === undefined ? {} : { xmlName: traits.xmlName }),
          ...(traits.ec2QueryName === undefined ? {} : { queryName: traits.ec2QueryName }),
        };
      });
      return members;
    },
  };
}
