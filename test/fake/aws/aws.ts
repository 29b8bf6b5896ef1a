import type { ElasticLoadBalancingV2ClientConfig } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Clock } from '../../../src/core/provider.ts';
import { type Cloud, createCloud, type Operation, type Zone } from './cloud.ts';
import { abortError, garbageError, isAwsError, resetError, sdkError, stripped } from './direct.ts';
import { AwsError } from './error.ts';
import { type FakeCall, type Fault, type RecordedCall, throttled } from './faults.ts';
import { enums, operations, type ServiceName } from './operations.ts';
import { createSeed, type Seed } from './seed.ts';
import { type BucketClass, defaults, type Settings } from './settings.ts';
import { snapshotOf } from './snapshot.ts';
import { createThrottle } from './throttle.ts';
import { checkInput } from './wire/check.ts';
import {
  encode,
  encodeError,
  garbage,
  modelOf,
  type Opened,
  open,
  type WireRequest,
  type WireResponse,
} from './wire/http.ts';

/**
 * AWS as far as we use it, in memory, on a clock of the caller: ELBv2, EC2 and the Resource Groups Tagging API in one
 * account and region. It obeys AWS's rules, is strict about what it is asked, and can be told to fail. Behind the SDK's
 * clients by `clientOptions`, or called directly by `call`, which skips their XML and signatures.
 */
export interface FakeAws {
  readonly region: string;
  readonly account: string;
  /** For a client of the SDK, or for createClients of providers/aws. The clients must not retry. */
  readonly clientOptions: {
    readonly region: string;
    readonly endpoint: string;
    readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
    readonly maxAttempts: 1;
    readonly requestHandler: FakeHandler & SdkHandler;
  };
  /** One call with what the SDK would send; rejects with an error as the SDK's. */
  call(service: ServiceName, operation: string, input: object, signal?: AbortSignal): Promise<object>;
  /** Every call that has ended, in that order. */
  readonly calls: readonly RecordedCall[];
  /** Empties `calls`; numbers go on. */
  forget(): void;
  /** Asked as each call arrives; undefined lets it through. */
  fault: (call: FakeCall) => Fault | undefined;
  configure(settings: Partial<Settings>): void;
  readonly settings: Settings;
  /** What others do. */
  readonly seed: Seed;
  /** What really is there, past every delay; for assertions beyond `snapshot`. */
  readonly cloud: Cloud;
  /** See snapshot.ts. Equal for two ways to the same state. */
  snapshot(): object;
}

/** The part of the SDK's HttpHandler that its clients use. */
export interface FakeHandler {
  readonly metadata: { readonly handlerProtocol: string };
  handle(
    request: WireRequest,
    options?: { readonly abortSignal?: AbortSignal | undefined },
  ): Promise<{ readonly response: WireResponse }>;
  destroy(): void;
  updateHttpClientConfig(): void;
  httpHandlerConfigs(): object;
}

/** How the SDK types it: with its own AbortSignal, which is no AbortSignal. */
type SdkHandler = NonNullable<ElasticLoadBalancingV2ClientConfig['requestHandler']>;

export interface FakeAwsOptions extends Partial<Settings> {
  readonly clock: Clock;
  /** 0 <= x < 1: how much of a lag a call meets. Default: all of it, always. */
  readonly random?: () => number;
  /** Default eu-west-1. */
  readonly region?: string;
  /** Default 123456789012. */
  readonly account?: string;
  /** Default a, b and c of the region. */
  readonly zones?: readonly Zone[];
}

const ACCOUNT = '123456789012';
const never = new AbortController().signal;

export function createFakeAws(options: FakeAwsOptions): FakeAws {
  const { clock, random = () => 1, region = 'eu-west-1', account = ACCOUNT, ...rest } = options;
  const { zones = zonesOf(region), ...first } = rest;
  let settings: Settings = { ...defaults, ...first };
  const cloud = createCloud({ region, account, zones, clock, settings: () => settings });
  const throttle = createThrottle(() => clock.monotonicMs());
  const calls: RecordedCall[] = [];
  let count = 0;

  /** Latency, throttling, faults and the moment of effect, the same for every call. Rejects with AwsError, or as a connection does. */
  async function perform({ service, operation, read }: Opened, signal: AbortSignal): Promise<object> {
    const atMs = clock.monotonicMs();
    const given = attempt(read);
    const call: FakeCall = {
      number: count++,
      service,
      operation,
      write: !/^(Describe|Get)/.test(operation),
      input: ('value' in given ? given.value : {}) as FakeCall['input'],
      atMs,
    };
    const fault = isThrottled(call) ? { as: throttled(service) } : fake.fault(call);
    const end = (outcome: string): void => void calls.push({ ...call, outcome });
    try {
      await travel(signal);
      await strike(fault, 'before', signal);
      if ('error' in given) throw given.error;
      const output = run(call);
      await travel(signal);
      await strike(fault, 'after', signal);
      end('ok');
      return output;
    } catch (error) {
      end(outcomeOf(error));
      throw error;
    }
  }

  function run({ service, operation, write, input }: FakeCall): object {
    const implemented = (operations[service] as Readonly<Record<string, Operation>>)[operation];
    const model = modelOf(service, operation);
    if (implemented === undefined) throw new AwsError('InvalidAction', `${operation} is not in the fake`);
    checkInput(input, model.input, enums, service === 'ec2' ? 'ec2' : 'elb');
    if (input['DryRun'] === true) throw new AwsError('DryRunOperation', 'DryRun is not in the fake', 412);
    const { reads = 0, writes = 0, tagging = 0 } = settings.lagMs;
    const lagMs = service === 'tagging' ? tagging : write ? writes : reads;
    const atMs = clock.monotonicMs() - (lagMs === 0 ? 0 : lagMs * random());
    return implemented({ cloud, atMs }, input as never);
  }

  /** ELBv2 counts by kind of call, EC2 by operation (aws.md, "Quotas, throttling, caches"). */
  function isThrottled({ service, operation, write }: FakeCall): boolean {
    const name: BucketClass = service === 'tagging' ? 'tagging' : `${service}.${write ? 'write' : 'read'}`;
    const bucket = settings.buckets[name];
    if (bucket === undefined) return false;
    return !throttle.take(service === 'ec2' ? `${name} ${operation}` : name, bucket);
  }

  async function travel(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw abortError();
    await pass(settings.latencyMs / 2, signal);
  }

  async function pass(ms: number, signal: AbortSignal): Promise<void> {
    if (ms === 0) return;
    await clock.sleep(ms, signal).catch(() => {
      throw abortError();
    });
  }

  async function strike(fault: Fault | undefined, moment: 'before' | 'after', signal: AbortSignal): Promise<void> {
    if (fault === undefined || (fault.at ?? 'before') !== moment) return;
    fault.onStrike?.();
    const { as, delayMs = 0 } = fault;
    await pass(delayMs, signal);
    if (as === undefined) return;
    if (as === 'hang') {
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener('abort', () => resolve(), { once: true });
      });
      throw abortError();
    }
    if (as === 'reset') throw resetError();
    if (as === 'garbage') throw new Garbage();
    throw new AwsError(as.code, as.message ?? as.code, as.status);
  }

  const handler: FakeHandler = {
    metadata: { handlerProtocol: 'http/1.1' },
    async handle(request, { abortSignal = never } = {}) {
      const opened = open(request);
      const requestId = `req-${count}`;
      try {
        const output = await perform(opened, abortSignal);
        return { response: encode(opened, output, requestId) };
      } catch (error) {
        if (error instanceof Garbage) return { response: garbage() };
        if (isAwsError(error)) return { response: encodeError(opened.service, error, requestId) };
        throw error;
      }
    },
    destroy() {},
    updateHttpClientConfig() {},
    httpHandlerConfigs: () => ({}),
  };

  const fake: FakeAws = {
    region,
    account,
    clientOptions: {
      region,
      endpoint: 'http://aws.fake',
      credentials: { accessKeyId: 'AKIAFAKE', secretAccessKey: 'fake' },
      maxAttempts: 1,
      requestHandler: handler as FakeHandler & SdkHandler,
    },
    async call(service, operation, input, signal = never) {
      try {
        return await perform({ service, operation, read: () => stripped(input) }, signal);
      } catch (error) {
        if (error instanceof Garbage) throw garbageError();
        throw isAwsError(error) ? sdkError(service, error) : error;
      }
    },
    calls,
    forget() {
      calls.length = 0;
    },
    fault: () => undefined,
    configure(changed) {
      settings = { ...settings, ...changed };
    },
    get settings() {
      return settings;
    },
    seed: createSeed(cloud),
    cloud,
    snapshot: () => snapshotOf(cloud),
  };
  return fake;
}

function attempt(read: () => object): { readonly value: object } | { readonly error: unknown } {
  try {
    return { value: read() };
  } catch (error) {
    return { error };
  }
}

/** An answer that is none. */
class Garbage extends Error {}

function outcomeOf(error: unknown): string {
  if (error instanceof Garbage) return 'garbage';
  if (isAwsError(error)) return error.code;
  const { name } = error as Error;
  return name === 'AbortError' ? 'aborted' : name === 'TimeoutError' ? 'reset' : name;
}

function zonesOf(region: string): readonly Zone[] {
  return ['a', 'b', 'c'].map((letter, index) => ({
    name: `${region}${letter}`,
    id: `euw1-az${index + 1}`,
    type: 'availability-zone',
  }));
}
