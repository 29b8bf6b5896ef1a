import type { LoadBalancerSpec } from '../../src/core/provider.ts';
import type { Reader } from './annotations.ts';
import type { Health, TargetType } from './model.ts';

const TRAFFIC_PORT = 'traffic-port';
/** Health under externalTrafficPolicy Cluster as core proposes it; the AWS default is another one. */
const PROXY_PORT = 10256;

/** Limits of CreateTargetGroup. */
const INTERVAL = { min: 5, max: 300 };
const TIMEOUT = { min: 2, max: 120 };
const THRESHOLD = { min: 2, max: 10 };

/** The health check of the group of one Service port: annotations `healthcheck-*.<port>`, then `healthcheck-*`, then defaults. */
export function healthOf(reader: Reader, spec: LoadBalancerSpec, targetType: TargetType, port: number): Health {
  const name = (suffix: string): string => {
    const own = `healthcheck-${suffix}.${port}`;
    return reader.text(own) === undefined ? `healthcheck-${suffix}` : own;
  };
  const byDefault = defaultsOf(spec, targetType);
  const protocol =
    reader.choice(name('protocol'), ['TCP', 'HTTP', 'HTTPS'] as const, { anyCase: true }) ?? byDefault.protocol;
  const path = reader.text(name('path')) ?? byDefault.path;
  if (!path.startsWith('/') && protocol !== 'TCP') {
    reader.problem(reader.key(name('path')), `${JSON.stringify(path)} is no path; it begins with /`);
  }
  const codes = reader.text(name('success-codes')) ?? '200-399';
  if (!/^\d{3}([,-]\d{3})*$/.test(codes) && protocol !== 'TCP') {
    const problem = `${JSON.stringify(codes)} are no HTTP codes such as 200, 200-399 or 200,204`;
    reader.problem(reader.key(name('success-codes')), problem);
  }
  return {
    protocol,
    port: portOf(reader, name('port'), spec, targetType) ?? byDefault.port,
    interval: reader.whole(name('interval'), INTERVAL) ?? 10,
    timeout: reader.whole(name('timeout'), TIMEOUT) ?? byDefault.timeout,
    healthy: reader.whole(name('healthy-threshold'), THRESHOLD) ?? byDefault.threshold,
    unhealthy: reader.whole(name('unhealthy-threshold'), THRESHOLD) ?? byDefault.threshold,
    ...(protocol === 'TCP' ? {} : { path, codes }),
  };
}

/** Nodes without an endpoint must fail under Local; kube-proxy's health port tells. */
function defaultsOf({ trafficPolicy, health }: LoadBalancerSpec, targetType: TargetType) {
  if (trafficPolicy === 'local' && targetType === 'instance' && health.port !== PROXY_PORT) {
    return { protocol: 'HTTP', port: String(health.port), path: '/healthz', timeout: 6, threshold: 2 } as const;
  }
  return { protocol: 'TCP', port: TRAFFIC_PORT, path: '/', timeout: 10, threshold: 3 } as const;
}

/** A number stays; a Service port's name becomes its node port, or the pod port if that is a number. */
function portOf(
  reader: Reader,
  name: string,
  { listeners }: LoadBalancerSpec,
  targetType: TargetType,
): string | undefined {
  const text = reader.text(name);
  if (text === undefined || text === TRAFFIC_PORT) return text;
  if (/^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535) return String(Number(text));
  const listener = listeners.find((each) => each.name !== '' && each.name === text);
  const quoted = JSON.stringify(text);
  if (listener === undefined) {
    reader.problem(reader.key(name), `${quoted} is neither traffic-port, nor a port number, nor the name of a port`);
    return undefined;
  }
  if (targetType === 'ip' && listener.targetPortName !== undefined) {
    const problem = `${quoted} leads to the pods' port ${listener.targetPortName}, which may differ; give a number`;
    reader.problem(reader.key(name), problem);
    return undefined;
  }
  return String(listener.targetPort);
}
