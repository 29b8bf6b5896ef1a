import type { Call } from '../../src/core/provider.ts';
import { toProviderError } from './errors.ts';
import { type ApiClass, type OperationOf, operations, priorityOf, proofs, type ServiceName } from './operations.ts';

interface Sdk {
  readonly elb: typeof import('./sdk/elb.ts');
  readonly ec2: typeof import('./sdk/ec2.ts');
  readonly tagging: typeof import('./sdk/tagging.ts');
}
type CommandOf<S extends ServiceName, Op extends OperationOf<S>> = Sdk[S][`${Op}Command` & keyof Sdk[S]];
// biome-ignore lint/suspicious/noExplicitAny: constructors have overloads; only their instance is looked at
type InstanceOf<C> = C extends abstract new (...args: any) => infer Instance ? Instance : never;
type InputOf<C> = InstanceOf<C> extends { readonly input: infer Input } ? Input : never;
type OutputOf<C> =
  InstanceOf<C> extends {
    resolveMiddleware(...args: never): (args: never) => Promise<{ readonly output: infer Output }>;
  }
    ? Output
    : never;

/**
 * One request. Goes through `call.limit` with the operation's class, ends with `call.signal`, and rejects with a
 * ProviderError (errors.ts) or with the signal's reason. `priority` over the operation's own: an audit waits for others.
 */
export type Method<In, Out> = (input: In, call: Call, how?: { readonly priority?: number }) => Promise<Out>;
export type Operations<S extends ServiceName> = {
  readonly [Op in OperationOf<S> as Uncapitalize<Op>]: Method<InputOf<CommandOf<S, Op>>, OutputOf<CommandOf<S, Op>>>;
};

/** One method per AWS operation that we use, named as the SDK's: `elb.describeLoadBalancers(input, call)`. */
export interface AwsClients {
  readonly elb: Operations<'elb'>;
  readonly ec2: Operations<'ec2'>;
  readonly tagging: Operations<'tagging'>;
  /** Closes the connections. */
  close(): void;
}

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}
export interface ClientOptions {
  readonly region: string;
  /** Absent: $AWS_ENDPOINT_URL and its kin, else the region's own; the SDK reads them. */
  readonly endpoint?: string;
  /** Absent: the SDK's chain (environment, web identity (IRSA), Pod Identity, files, instance). */
  readonly credentials?: Credentials | (() => Promise<Credentials>);
  /** In place of the network: the fake of the tests. */
  readonly requestHandler?: object;
  /** Called as a request starts; what it returns as that ends: 'ok' or the error's name. */
  readonly begun?: (operation: string) => (code: string) => void;
}

/** A request that AWS does not answer is an error by then; its own answers come in a second, a slow list in a few. */
const REQUEST_MS = 30_000;
const CONNECT_MS = 5000;
/** Connections per service; the limiter's concurrency stays below. */
const SOCKETS = 100;

/** Clients of the services. Nothing is imported or opened before the first request of each. */
export function createClients(options: ClientOptions): AwsClients {
  const closers: (() => void)[] = [];

  function service<S extends ServiceName>(name: S, load: () => Promise<Sdk[S]>): Operations<S> {
    let loaded: Promise<Sender> | undefined;
    const sender = async (): Promise<Sender> => {
      loaded ??= load().then((sdk) => senderOf(sdk as unknown as AnySdk, options, closers));
      return await loaded;
    };
    const methods = Object.entries<ApiClass>(operations[name]).map(([operation, apiClass]) => {
      const method: Method<object, unknown> = async (input, call, how) => {
        const { send } = await sender();
        return await call.limit(
          async () => {
            call.signal.throwIfAborted();
            const end = options.begun?.(operation);
            try {
              const output = whole(operation, await send(operation, input, call.signal));
              end?.('ok');
              return output;
            } catch (error) {
              end?.(error instanceof Error ? error.name : 'unknown');
              call.signal.throwIfAborted();
              throw toProviderError(error, { service: name, operation, input });
            }
          },
          { class: apiClass, priority: how?.priority ?? priorityOf(operation) },
        );
      };
      return [`${operation.charAt(0).toLowerCase()}${operation.slice(1)}`, method] as const;
    });
    return Object.fromEntries(methods) as unknown as Operations<S>;
  }

  return {
    elb: service('elb', async () => await import('./sdk/elb.ts')),
    // 95 MB and 0.2 s when not bundled: only when something of EC2 is asked for.
    ec2: service('ec2', async () => await import('./sdk/ec2.ts')),
    tagging: service('tagging', async () => await import('./sdk/tagging.ts')),
    close() {
      for (const close of closers.splice(0)) close();
    },
  };
}

/** Throws when it lacks what every answer of this operation has. */
function whole(operation: string, output: unknown): unknown {
  const proof = proofs[operation];
  if (proof === undefined || (output as Readonly<Record<string, unknown>> | undefined)?.[proof] !== undefined)
    return output;
  throw new Error(`the answer has no ${proof}: it is none of AWS`);
}

/** The SDK's modules are alike: a client, and a class for each command. */
type AnySdk = Readonly<Record<string, new (options: object) => SdkClient>>;
interface SdkClient {
  send(command: object, options: { readonly abortSignal: AbortSignal }): Promise<unknown>;
  destroy(): void;
}
interface Sender {
  send(operation: string, input: object, signal: AbortSignal): Promise<unknown>;
}

function senderOf(
  sdk: AnySdk,
  { region, endpoint, credentials, requestHandler }: ClientOptions,
  closers: (() => void)[],
): Sender {
  const client = new (sdk['SdkClient'] as AnySdk[string])({
    region,
    // Retries are the reconcile loop's, on its clock, and the limiter's, which knows of all requests.
    maxAttempts: 1,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    requestHandler: requestHandler ?? {
      connectionTimeout: CONNECT_MS,
      requestTimeout: REQUEST_MS,
      throwOnRequestTimeout: true,
      httpAgent: { maxSockets: SOCKETS },
      httpsAgent: { maxSockets: SOCKETS },
    },
    customUserAgent: [['fairlead']],
  });
  closers.push(() => client.destroy());
  return {
    send: async (operation, input, abortSignal) =>
      await client.send(new (sdk[`${operation}Command`] as AnySdk[string])(input), { abortSignal }),
  };
}
