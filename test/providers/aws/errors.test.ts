import assert from 'node:assert/strict';
import { test } from 'node:test';
import { awsCode, classify, isNotFound, toProviderError } from '../../../providers/aws/errors.ts';
import { errorCatalogue } from '../../../src/core/errors.ts';

const named = (name: string, message = 'so it is', more: object = {}): Error =>
  Object.assign(new Error(message), { name, ...more });

/** Kind -> AWS's codes: as ELBv2 models them, as EC2 and the signer send them, as the SDK makes them up. */
const kinds: Readonly<Record<string, readonly string[]>> = {
  throttled: ['Throttling', 'ThrottlingException', 'RequestLimitExceeded', 'TooManyRequestsException', 'SlowDown'],
  denied: [
    'AccessDenied',
    'AccessDeniedException',
    'UnauthorizedOperation',
    'OperationNotPermittedException',
    'AuthFailure',
    'InvalidClientTokenId',
    'ExpiredToken',
    'ExpiredTokenException',
    'SignatureDoesNotMatch',
    'CredentialsProviderError',
  ],
  conflict: [
    'DuplicateLoadBalancerNameException',
    'DuplicateTargetGroupNameException',
    'DuplicateListenerException',
    'InvalidPermission.Duplicate',
    'InvalidGroup.Duplicate',
    'ResourceInUseException',
    'DependencyViolation',
    'PriorRequestNotCompleteException',
    'RouteAlreadyExists',
  ],
  quota: [
    'TooManyTargetsException',
    'TooManyLoadBalancersException',
    'TooManyTagsException',
    'TooManyUniqueTargetGroupsPerLoadBalancerException',
    'RulesPerSecurityGroupLimitExceeded',
    'SecurityGroupLimitExceeded',
    'RouteLimitExceeded',
    'TargetGroupAssociationLimitException',
  ],
  invalid: [
    'InvalidSubnetException',
    'InvalidSecurityGroupException',
    'InvalidConfigurationRequestException',
    'InvalidTargetException',
    'InvalidParameterValue',
    'InvalidInstanceID.Malformed',
    'UnsupportedProtocolException',
    'ALPNPolicyNotSupportedException',
    'AvailabilityZoneNotSupportedException',
    'IncompatibleProtocolsException',
    'CertificateNotFoundException',
    'SSLPolicyNotFoundException',
    'AllocationIdNotFoundException',
    'SubnetNotFoundException',
    'ValidationError',
  ],
  transient: [
    'LoadBalancerNotFoundException',
    'TargetGroupNotFoundException',
    'ListenerNotFoundException',
    'InternalFailure',
    'ServiceUnavailable',
    'TimeoutError',
    'ECONNREFUSED',
    'Error',
    '',
  ],
};

for (const [kind, names] of Object.entries(kinds)) {
  for (const name of names) {
    test(`${name || 'an error without a name'} is ${kind}`, () => {
      assert.equal(errorCatalogue[classify(named(name)).code].kind, kind);
    });
  }
}

test('what is still in use says when to ask again, so that it is a wait', () => {
  for (const name of ['ResourceInUseException', 'DependencyViolation', 'PriorRequestNotCompleteException']) {
    assert.equal(classify(named(name)).retryAfterMs, 5000, name);
  }
  assert.equal(classify(named('DuplicateListenerException')).retryAfterMs, undefined);
});

test('HTTP 429 without a code that we know is throttling', () => {
  assert.equal(classify(named('Weird', '', { $metadata: { httpStatusCode: 429 } })).code, 'FL_AWS_THROTTLED');
  assert.equal(classify(named('Weird', '', { $metadata: { httpStatusCode: 503 } })).code, 'FL_AWS_UNAVAILABLE');
});

test('what is thrown and no Error is transient, with its text', () => {
  const error = toProviderError('odd', { service: 'elb', operation: 'DescribeTags', input: {} });
  assert.deepEqual(
    [error.kind, error.message, error.cause],
    ['transient', 'elasticloadbalancing:DescribeTags failed: odd', 'odd'],
  );
});

test('a refusal names action and resource, and leaves out what only a tool can read', () => {
  const cause = named(
    'UnauthorizedOperation',
    'You are not authorized to perform this operation. Encoded authorization failure message: AbC_d-123',
  );
  const error = toProviderError(cause, {
    service: 'ec2',
    operation: 'CreateSecurityGroup',
    input: { VpcId: 'vpc-1', GroupName: 'k8s-a' },
  });
  assert.equal(
    error.message,
    'ec2:CreateSecurityGroup on k8s-a is not allowed: UnauthorizedOperation: You are not authorized to perform this operation.',
  );
  assert.deepEqual([error.kind, error.code, error.cause], ['denied', 'FL_AWS_DENIED', cause]);
});

test('a value that AWS refuses names the annotation it comes from', () => {
  const fields = Object.fromEntries(
    [
      'CertificateNotFoundException',
      'SSLPolicyNotFoundException',
      'SubnetNotFoundException',
      'AllocationIdNotFoundException',
      'InvalidSecurityGroupException',
      'InvalidConfigurationRequestException',
    ].map((name) => [
      name,
      toProviderError(named(name), { service: 'elb', operation: 'CreateListener', input: {} }).field?.replace(
        'service.beta.kubernetes.io/aws-load-balancer-',
        '',
      ),
    ]),
  );
  assert.deepEqual(fields, {
    CertificateNotFoundException: 'ssl-cert',
    SSLPolicyNotFoundException: 'ssl-negotiation-policy',
    SubnetNotFoundException: 'subnets',
    AllocationIdNotFoundException: 'eip-allocations',
    InvalidSecurityGroupException: 'security-groups',
    InvalidConfigurationRequestException: undefined,
  });
});

test('a page instead of an answer is cut', () => {
  const error = toProviderError(named('Error', `<html>${'x'.repeat(5000)}`, { $metadata: { httpStatusCode: 500 } }), {
    service: 'elb',
    operation: 'DescribeLoadBalancers',
    input: { LoadBalancerArns: ['a', 'b', 'c'] },
  });
  assert.ok(error.message.length < 600);
  assert.match(
    error.message,
    /^elasticloadbalancing:DescribeLoadBalancers on a and 2 more failed: <html>x+ \(HTTP 500\)$/,
  );
});

test('AWS’s own code is found through the wrapping, once', () => {
  const cause = named('TargetGroupNotFoundException');
  const error = toProviderError(cause, { service: 'elb', operation: 'DeleteTargetGroup', input: {} });
  assert.deepEqual(
    [awsCode(error), awsCode(cause), isNotFound(error)],
    ['TargetGroupNotFound', 'TargetGroupNotFound', true],
  );
  assert.equal(toProviderError(error, { service: 'elb', operation: 'X', input: {} }), error);
  assert.equal(isNotFound(named('InvalidGroup.NotFound')), true);
  assert.equal(isNotFound(new Error('not found')), false);
});
