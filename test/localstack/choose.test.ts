import assert from 'node:assert/strict';
import { test } from 'node:test';
import { choose } from '../../localstack/choose.ts';

const noDocker = 'Docker is not installed';
const cases = [
  {
    name: 'nothing at all',
    offers: { dockerProblem: noDocker },
    kind: 'moto',
    says: /AUTH_TOKEN is not set, Docker is/,
  },
  { name: 'Docker without a token', offers: {}, kind: 'moto', says: /LOCALSTACK_AUTH_TOKEN is not set$/ },
  { name: 'an empty token', offers: { token: '' }, kind: 'moto', says: /LOCALSTACK_AUTH_TOKEN is not set$/ },
  {
    name: 'a token without Docker',
    offers: { token: 't', dockerProblem: noDocker },
    kind: 'moto',
    says: /: Docker is not/,
  },
  { name: 'Docker and a token', offers: { token: 't' }, kind: 'localstack', says: /Docker and LOCALSTACK_AUTH_TOKEN/ },
  { name: 'an endpoint wins', offers: { endpoint: 'http://a:1', token: 't' }, kind: 'endpoint', says: /http:\/\/a:1/ },
  { name: 'an empty endpoint is none', offers: { endpoint: '', token: 't' }, kind: 'localstack', says: /Docker/ },
] as const;

for (const { name, offers, kind, says } of cases) {
  test(`which AWS API: ${name}: ${kind}`, () => {
    const choice = choose(offers);
    assert.equal(choice.kind, kind);
    assert.match(choice.reason, says);
  });
}

test('an endpoint loses the slash at its end, for paths are put behind it', () => {
  assert.deepEqual(choose({ endpoint: 'http://127.0.0.1:5000//' }), {
    kind: 'endpoint',
    url: 'http://127.0.0.1:5000',
    reason: 'AWS_ENDPOINT_URL is http://127.0.0.1:5000//',
  });
});

for (const endpoint of ['localhost:5000', 'nonsense', 'ftp://a']) {
  test(`an endpoint that is no URL is refused: ${endpoint}`, () => {
    assert.throws(() => choose({ endpoint }), /AWS_ENDPOINT_URL: ".*" is no URL; write http:\/\/127\.0\.0\.1:5000/);
  });
}

for (const endpoint of [
  'https://ec2.us-east-1.amazonaws.com',
  'https://elasticloadbalancing.cn-north-1.amazonaws.com.cn',
  'https://ec2.eu-west-1.api.aws/',
]) {
  test(`Amazon's own endpoint is refused, since the seed makes instances: ${endpoint}`, () => {
    assert.throws(() => choose({ endpoint, token: 't' }), /is Amazon's own; the seed is for stand-ins only/);
  });
}
