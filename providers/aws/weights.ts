import type { Reader } from './annotations.ts';

/** How a listener splits its connections between the Service's own group and others. */
export interface Weights {
  readonly own: number;
  readonly others: readonly { readonly arn: string; readonly weight: number }[];
}

const FIELD = 'service.beta.kubernetes.io/actions.';
const ARN = /^arn:[^:]+:elasticloadbalancing:[^:]*:[^:]*:targetgroup\/.+/;

/**
 * The annotation `actions.<PROTO>-<port>` of one listener: a forward to target groups by ARN. `undefined` without one, or
 * when it is unreadable, which leaves a problem. Groups by `serviceName` are refused: the spec of a Service holds no
 * other Service's endpoints.
 */
export function weightsOf(reader: Reader, listener: string): Weights | undefined {
  const text = reader.bare(`actions.${listener}`);
  if (text === undefined) return undefined;
  const problem = (message: string): undefined => void reader.problem(`${FIELD}${listener}`, message);
  const action = objectOf(parsed(text));
  if (action === undefined || action['type'] !== 'forward') return problem('is no JSON of a forward action');
  const config = objectOf(action['forwardConfig']);
  const groups = config?.['targetGroups'];
  const own = config?.['baseServiceWeight'];
  if (!isWeight(own)) return problem('forwardConfig.baseServiceWeight is no whole number from 0 to 999');
  if (!Array.isArray(groups) || groups.length === 0) return problem('forwardConfig.targetGroups is no list');
  const others = groups.map((group) => otherOf(objectOf(group)));
  const wrong = others.find((other) => typeof other === 'string');
  if (wrong !== undefined) return problem(wrong);
  return { own, others: others.filter((other) => typeof other !== 'string') };
}

function otherOf(group: Members | undefined): Weights['others'][number] | string {
  const { targetGroupARN: arn, serviceName, weight } = group ?? {};
  if (serviceName !== undefined) {
    return `target group of Service ${JSON.stringify(serviceName)}: only groups by targetGroupARN are possible here`;
  }
  if (typeof arn !== 'string' || !ARN.test(arn))
    return `targetGroupARN ${JSON.stringify(arn)} is no ARN of a target group`;
  if (!isWeight(weight)) return `weight of ${arn} is no whole number from 0 to 999`;
  return { arn, weight };
}

type Members = { readonly [name: string]: unknown };

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller says so, in the annotation's name
  }
}

const objectOf = (value: unknown): Members | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Members) : undefined;

const isWeight = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 999;
