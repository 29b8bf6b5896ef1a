import { type ErrorCode, failure, isProviderError, type ProviderError } from '../../src/core/errors.ts';

/** What was asked for, for the message. */
export interface Asked {
  readonly service: 'elb' | 'ec2' | 'tagging';
  readonly operation: string;
  readonly input: object;
}

interface Rule {
  readonly code: ErrorCode;
  readonly names: RegExp;
  readonly retryAfterMs?: number;
}

/**
 * AWS's error code -> ours, whose kind decides the retry; the first match wins (aws.md, "Shape in our code"). Modelled
 * ELBv2 errors end in `Exception`, which is cut off before; those of EC2 and of throttling do not.
 */
const rules: readonly Rule[] = [
  {
    code: 'FL_AWS_THROTTLED',
    names: /^(Throttling|ThrottledException|Throttled|RequestThrottled|RequestLimitExceeded|TooManyRequests|SlowDown)$/,
  },
  {
    code: 'FL_AWS_CREDENTIALS',
    names:
      /^(AuthFailure|ExpiredToken|InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|InvalidSignature|IncompleteSignature|MissingAuthenticationToken|RequestExpired|CredentialsProviderError|TokenProviderError|InvalidIdentityToken)$/,
    // A rotated token or an instance's credentials come by themselves, and soon.
    retryAfterMs: 30_000,
  },
  {
    code: 'FL_AWS_DENIED',
    names: /^(AccessDenied|UnauthorizedOperation|UnauthorizedAccess|OperationNotPermitted|OptInRequired|Blocked)$/,
  },
  {
    code: 'FL_AWS_BUSY',
    names: /^(ResourceInUse|DependencyViolation|PriorRequestNotComplete|InvalidGroup\.InUse)$/,
    retryAfterMs: 5000,
  },
  { code: 'FL_AWS_DUPLICATE', names: /^Duplicate|\.Duplicate$|AlreadyExists$/ },
  { code: 'FL_AWS_QUOTA', names: /^TooMany|LimitExceeded$|^TargetGroupAssociationLimit$|^InsufficientFreeAddresses/ },
  {
    code: 'FL_AWS_REFUSED',
    names:
      /^Invalid|^Unsupported|NotSupported$|^Incompatible|^(Certificate|SSLPolicy|AllocationId|Subnet)NotFound$|^ValidationError$|^MissingParameter$/,
  },
  { code: 'FL_AWS_NOT_FOUND', names: /NotFound$/ },
];

/** AWS's code -> what a person wrote that it is about: annotations without `service.beta.kubernetes.io/aws-load-balancer-`. */
const fields: Readonly<Record<string, string>> = {
  ALPNPolicyNotSupported: 'alpn-policy',
  AllocationIdNotFound: 'eip-allocations',
  AvailabilityZoneNotSupported: 'subnets',
  CertificateNotFound: 'ssl-cert',
  IncompatibleProtocols: 'backend-protocol',
  InvalidLoadBalancerAction: 'actions',
  InvalidSecurityGroup: 'security-groups',
  'InvalidGroup.NotFound': 'security-groups',
  'InvalidPrefixListId.NotFound': 'security-group-prefix-lists',
  'InvalidPrefixListID.NotFound': 'security-group-prefix-lists',
  InvalidScheme: 'scheme',
  InvalidSubnet: 'subnets',
  'InvalidSubnetID.NotFound': 'subnets',
  SSLPolicyNotFound: 'ssl-negotiation-policy',
  SubnetNotFound: 'subnets',
};
const ANNOTATION = 'service.beta.kubernetes.io/aws-load-balancer-';

/** Names of the services as IAM has them. */
const iam = { elb: 'elasticloadbalancing', ec2: 'ec2', tagging: 'tag' } as const;

/**
 * Whatever the SDK throws, as a ProviderError that names action and resource. What no rule knows is FL_AWS_UNAVAILABLE
 * (transient): the endpoint is down, timed out, or speaks something else than AWS does.
 */
export function toProviderError(error: unknown, asked: Asked): ProviderError {
  if (isProviderError(error)) return error;
  const { code, retryAfterMs } = classify(error);
  const name = codeOf(error);
  const suffix = code === 'FL_AWS_REFUSED' ? fields[name] : undefined;
  return failure(code, messageOf(error, name, code, asked, suffix), {
    cause: error,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(suffix === undefined ? {} : { field: `${ANNOTATION}${suffix}` }),
  });
}

/** The rule for an SDK's error. Pure; the table of the tests goes through it. */
export function classify(error: unknown): { readonly code: ErrorCode; readonly retryAfterMs?: number } {
  const name = codeOf(error);
  const rule = rules.find(({ names }) => names.test(name));
  if (rule !== undefined) {
    const { code, retryAfterMs } = rule;
    return { code, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  }
  return { code: statusOf(error) === 429 ? 'FL_AWS_THROTTLED' : 'FL_AWS_UNAVAILABLE' };
}

/** AWS's code of an SDK error, or of the one that a ProviderError was made from; '' when it has none. */
export function awsCode(error: unknown): string {
  return codeOf(isProviderError(error) ? error.cause : error);
}

/** AWS says that the thing is not there: of a read or a change of ours it may not be there yet, of a deletion it is done. */
export function isNotFound(error: unknown): boolean {
  return /NotFound$/.test(awsCode(error));
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  return error.name.replace(/Exception$/, '');
}

function statusOf(error: unknown): number | undefined {
  return (error as { readonly $metadata?: { readonly httpStatusCode?: number } } | undefined)?.$metadata
    ?.httpStatusCode;
}

function messageOf(error: unknown, name: string, code: ErrorCode, asked: Asked, suffix: string | undefined): string {
  const { service, operation, input } = asked;
  const subject = subjectOf(input);
  const call = `${iam[service]}:${operation}${subject === undefined ? '' : ` on ${subject}`}`;
  const text = textOf(error);
  const status = statusOf(error);
  const lead = suffix === undefined ? '' : `${ANNOTATION}${suffix}: `;
  switch (code) {
    case 'FL_AWS_DENIED':
      return `${call} is not allowed: ${name}: ${text}`;
    case 'FL_AWS_UNAVAILABLE':
      return `${call} failed: ${name === 'Error' || name === '' ? '' : `${name}: `}${text}${status === undefined ? '' : ` (HTTP ${status})`}`;
    default:
      return `${lead}${call}: ${name}: ${text}`;
  }
}

/** What it works on: the first of these that the request has, of the more special kinds first. */
const subjects = [
  'ListenerArn',
  'TargetGroupArn',
  'LoadBalancerArn',
  'ResourceArn',
  'ListenerArns',
  'TargetGroupArns',
  'LoadBalancerArns',
  'ResourceArns',
  'Name',
  'Names',
  'GroupId',
  'GroupIds',
  'GroupName',
  'RouteTableId',
  'NetworkInterfaceId',
  'InstanceId',
  'InstanceIds',
  'SubnetIds',
  'VpcId',
  'VpcIds',
  'Resources',
] as const;

function subjectOf(input: object): string | undefined {
  for (const key of subjects) {
    const value = (input as Readonly<Record<string, unknown>>)[key];
    if (typeof value === 'string') return value;
    if (Array.isArray(value) && typeof value[0] === 'string') {
      return value.length === 1 ? value[0] : `${value[0]} and ${value.length - 1} more`;
    }
  }
  return undefined;
}

/** An event holds 1024 characters, and an answer that is no AWS answer may be a whole page. */
const LONGEST = 400;

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error).slice(0, LONGEST);
  const { message } = error;
  const causes = error instanceof AggregateError ? error.errors.map((each: Error) => each.message).join(', ') : '';
  return (
    (message === '' ? causes : message)
      // Some 500 characters that only `aws sts decode-authorization-message` reads.
      .replace(/ ?Encoded authorization failure message: \S+/, '')
      .replace(/\s+/g, ' ')
      .slice(0, LONGEST)
      .trim()
  );
}
