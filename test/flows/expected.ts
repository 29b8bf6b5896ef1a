/**
 * What each flow must come to: the rules for traffic and endpoint lists of kube-proxy, written out. Cells: outcome.ts.
 *
 * Pods a to d are on the node under test, e to h on the other; d and h are never endpoints. Columns are sources:
 *
 *   pod         d, on this node              node        this node itself
 *   self        a, itself an endpoint        other-node  the other node itself
 *   remote-pod  h, on the other node         client      outside, from 198.51.100.0/25 (2001:db8:198::/120)
 *                                            stranger    outside, from 198.51.100.128/25 (2001:db8:198::100/120)
 */
import { type EndpointSpec, type Policy, ready, type Slices } from './services.ts';
import { rowOf, table } from './tables.ts';

// ---------------------------------------------------------------------------------------------------------------------
// Endpoint lists

const terminating = (letters: string): readonly EndpointSpec[] =>
  [...letters].map((endpoint) => ({ endpoint, is: 'terminating' }));
const zoned = (letters: string, zone: string): readonly EndpointSpec[] =>
  [...letters].map((endpoint) => ({ endpoint, zones: [zone] }));

export const states: Readonly<Record<string, Slices>> = {
  local: [ready('ab')],
  mixed: [ready('abef')],
  remote: [ready('ef')],
  'one-local': [ready('a')],
  'one-remote': [ready('e')],
  many: [ready('abcefg'), ready('ABCEFG')],
  'two-slices': [ready('a'), ready('E')],
  terminating: [terminating('ae')],
  'local-terminating': [[...terminating('a'), ...ready('ef')]],
  'remote-terminating': [terminating('e')],
  'remote-terminating-too': [[...ready('a'), ...terminating('e')]],
  'not-serving': [
    [
      { endpoint: 'a', is: 'terminating, not serving' },
      { endpoint: 'e', is: 'terminating, not serving' },
    ],
  ],
  unready: [
    [
      { endpoint: 'a', is: 'not ready' },
      { endpoint: 'e', is: 'not ready' },
    ],
  ],
  none: [],
  'zone-hints': [[...zoned('ae', 'z1'), ...zoned('bf', 'z2')]],
  'zone-hints-with-a-gap': [[...zoned('ae', 'z1'), ...zoned('b', 'z2'), ...ready('f')]],
  'zone-hints-elsewhere': [zoned('abef', 'z2')],
  'zone-hints-of-the-ready': [[...zoned('ae', 'z1'), ...zoned('b', 'z2'), { endpoint: 'f', is: 'not ready' }]],
  'zone-hints-of-the-terminating': [
    [
      { endpoint: 'a', is: 'terminating', zones: ['z2'] },
      { endpoint: 'e', is: 'terminating', zones: ['z1'] },
    ],
  ],
  'node-hints': [[...'abef'].map((endpoint) => ({ endpoint, nodes: [endpoint < 'e' ? 'n1' : 'n2'], zones: ['z1'] }))],
  'node-hints-elsewhere': [
    [
      { endpoint: 'a', nodes: ['n2'], zones: ['z1'] },
      { endpoint: 'e', nodes: ['n2'], zones: ['z2'] },
    ],
  ],
};

// ---------------------------------------------------------------------------------------------------------------------
// By policy. "external" stands for external IPs, load balancer IPs and node ports alike.

export type Side = 'internal' | 'external';

export const byPolicy = table(`
state                          side      policy   pod     self    remote-pod  node    other-node  client

local                          internal  Cluster  ab=     a~b=    ab=         ab~     ab~         ab~
local                          internal  Local    ab=     a~b=    ab=         ab~     ab~         ab~
local                          external  Cluster  ab~     ab~     ab~         ab~     ab~         ab~
local                          external  Local    ab=     a~b=    ab=         ab~     ab=         ab=

mixed                          internal  Cluster  abef=   a~bef=  abef=       abef~   abef~       abef~
mixed                          internal  Local    ab=     a~b=    ab=         ab~     ab~         ab~
mixed                          external  Cluster  abef~   abef~   abef~       abef~   abef~       abef~
mixed                          external  Local    abef=   a~bef=  abef=       abef~   ab=         ab=

remote                         internal  Cluster  ef=     ef=     ef=         ef~     ef~         ef~
remote                         internal  Local    -       -       -           -       -           -
remote                         external  Cluster  ef~     ef~     ef~         ef~     ef~         ef~
remote                         external  Local    ef=     ef=     ef=         ef~     -           -

one-local                      internal  Cluster  a=      a~      a=          a~      a~          a~
one-local                      external  Cluster  a~      a~      a~          a~      a~          a~
one-local                      internal  Local    a=      a~      a=          a~      a~          a~
one-local                      external  Local    a=      a~      a=          a~      a=          a=

one-remote                     internal  Cluster  e=      e=      e=          e~      e~          e~
one-remote                     external  Cluster  e~      e~      e~          e~      e~          e~

many                           internal  Cluster  abcefgABCEFG=  aA~bcefgBCEFG=  abcefgABCEFG=  abcefgABCEFG~  abcefgABCEFG~  abcefgABCEFG~
many                           external  Cluster  abcefgABCEFG~  abcefgABCEFG~   abcefgABCEFG~  abcefgABCEFG~  abcefgABCEFG~  abcefgABCEFG~
many                           internal  Local    abcABC=        aA~bcBC=        abcABC=        abcABC~        abcABC~        abcABC~
many                           external  Local    abcefgABCEFG=  aA~bcefgBCEFG=  abcefgABCEFG=  abcefgABCEFG~  abcABC=        abcABC=

two-slices                     internal  Cluster  aE=     a~E=    aE=         aE~     aE~         aE~
two-slices                     external  Cluster  aE~     aE~     aE~         aE~     aE~         aE~

terminating                    internal  Cluster  ae=     a~e=    ae=         ae~     ae~         ae~
terminating                    internal  Local    a=      a~      a=          a~      a~          a~
terminating                    external  Cluster  ae~     ae~     ae~         ae~     ae~         ae~
terminating                    external  Local    ae=     a~e=    ae=         ae~     a=          a=

local-terminating              internal  Cluster  ef=     ef=     ef=         ef~     ef~         ef~
local-terminating              internal  Local    a=      a~      a=          a~      a~          a~
local-terminating              external  Cluster  ef~     ef~     ef~         ef~     ef~         ef~
local-terminating              external  Local    ef=     ef=     ef=         ef~     a=          a=

remote-terminating             internal  Cluster  e=      e=      e=          e~      e~          e~
remote-terminating             internal  Local    -       -       -           -       -           -
remote-terminating             external  Cluster  e~      e~      e~          e~      e~          e~
remote-terminating             external  Local    e=      e=      e=          e~      -           -

remote-terminating-too         internal  Cluster  a=      a~      a=          a~      a~          a~
remote-terminating-too         internal  Local    a=      a~      a=          a~      a~          a~
remote-terminating-too         external  Cluster  a~      a~      a~          a~      a~          a~
remote-terminating-too         external  Local    a=      a~      a=          a~      a=          a=

not-serving                    internal  Cluster  x       x       x           x       x           x
not-serving                    internal  Local    x       x       x           x       x           x
not-serving                    external  Cluster  x       x       x           x       x           x
not-serving                    external  Local    x       x       x           x       x           x

unready                        internal  Cluster  x       x       x           x       x           x
unready                        internal  Local    x       x       x           x       x           x
unready                        external  Cluster  x       x       x           x       x           x
unready                        external  Local    x       x       x           x       x           x

none                           internal  Cluster  x       x       x           x       x           x
none                           internal  Local    x       x       x           x       x           x
none                           external  Cluster  x       x       x           x       x           x
none                           external  Local    x       x       x           x       x           x

zone-hints                     internal  Cluster  ae=     a~e=    ae=         ae~     ae~         ae~
zone-hints                     internal  Local    ab=     a~b=    ab=         ab~     ab~         ab~
zone-hints                     external  Cluster  ae~     ae~     ae~         ae~     ae~         ae~
zone-hints                     external  Local    ae=     a~e=    ae=         ae~     ab=         ab=

zone-hints-with-a-gap          internal  Cluster  abef=   a~bef=  abef=       abef~   abef~       abef~
zone-hints-with-a-gap          external  Cluster  abef~   abef~   abef~       abef~   abef~       abef~
zone-hints-elsewhere           internal  Cluster  abef=   a~bef=  abef=       abef~   abef~       abef~
zone-hints-elsewhere           external  Cluster  abef~   abef~   abef~       abef~   abef~       abef~
zone-hints-of-the-ready        internal  Cluster  ae=     a~e=    ae=         ae~     ae~         ae~
zone-hints-of-the-ready        external  Cluster  ae~     ae~     ae~         ae~     ae~         ae~
zone-hints-of-the-terminating  internal  Cluster  ae=     a~e=    ae=         ae~     ae~         ae~
zone-hints-of-the-terminating  external  Cluster  ae~     ae~     ae~         ae~     ae~         ae~
node-hints                     internal  Cluster  ab=     a~b=    ab=         ab~     ab~         ab~
node-hints                     external  Cluster  ab~     ab~     ab~         ab~     ab~         ab~
node-hints-elsewhere           internal  Cluster  a=      a~      a=          a~      a~          a~
node-hints-elsewhere           external  Cluster  a~      a~      a~          a~      a~          a~
`);

/** Pairs of internal and external policy that are tried with a state: those that the table has rows for. */
export function policiesOf(state: string): readonly { readonly internal: Policy; readonly external: Policy }[] {
  const has = (side: Side, policy: Policy): boolean => rowOf(byPolicy, { state, side, policy }) !== undefined;
  const both: readonly Policy[] = ['Cluster', 'Local'];
  const equal = both.filter((policy) => has('internal', policy) && has('external', policy));
  const pairs = equal.map((policy) => ({ internal: policy, external: policy }));
  // The two have nothing to do with each other.
  if (state !== 'mixed' && state !== 'remote') return pairs;
  return [...pairs, { internal: 'Cluster', external: 'Local' }, { internal: 'Local', external: 'Cluster' }];
}

/** With --masquerade-all, only traffic to ClusterIPs changes. */
export const masqueradeAll = table(`
state   side      policy   pod     self    remote-pod  node    other-node  client
mixed   internal  Cluster  abef~   abef~   abef~       abef~   abef~       abef~
mixed   internal  Local    ab~     ab~     ab~         ab~     ab~         ab~
mixed   external  Cluster  abef~   abef~   abef~       abef~   abef~       abef~
mixed   external  Local    abef=   a~bef=  abef=       abef~   ab=         ab=
remote  internal  Cluster  ef~     ef~     ef~         ef~     ef~         ef~
remote  external  Cluster  ef~     ef~     ef~         ef~     ef~         ef~
`);

/**
 * Without a pod CIDR nobody counts as a pod. The other node itself is not masqueraded then, and an endpoint of its own
 * would answer it directly: those cells are left to the state "local".
 */
export const noPodCidr = table(`
state   side      policy   pod     self    remote-pod  node    other-node  client
local   internal  Cluster  ab=     a~b=    ab=         ab=     ab=         ab=
local   internal  Local    ab=     a~b=    ab=         ab=     ab=         ab=
local   external  Cluster  ab~     ab~     ab~         ab~     ab~         ab~
local   external  Local    ab=     a~b=    ab=         ab~     ab=         ab=
mixed   internal  Cluster  abef=   a~bef=  abef=       abef=   .           abef=
mixed   external  Cluster  abef~   abef~   abef~       abef~   abef~       abef~
mixed   internal  Local    ab=     a~b=    ab=         ab=     ab=         ab=
mixed   external  Local    ab=     a~b=    ab=         abef~   ab=         ab=
remote  internal  Cluster  ef=     ef=     ef=         ef=     .           ef=
remote  internal  Local    -       -       -           -       -           -
remote  external  Cluster  ef~     ef~     ef~         ef~     ef~         ef~
remote  external  Local    -       -       -           ef~     -           -
`);

// ---------------------------------------------------------------------------------------------------------------------
// Session affinity: the same endpoint every time. All have the endpoints a, b, e, f.

export const affinity = table(`
side      policy   pod       self        remote-pod  node      other-node  client    stranger
internal  Cluster  1(abef=)  1(a~bef=)   1(abef=)    1(abef~)  1(abef~)    1(abef~)  1(abef~)
internal  Local    1(ab=)    1(a~b=)     1(ab=)      1(ab~)    1(ab~)      1(ab~)    1(ab~)
external  Cluster  1(abef~)  1(abef~)    1(abef~)    1(abef~)  1(abef~)    1(abef~)  1(abef~)
external  Local    1(abef=)  1(a~bef=)   1(abef=)    1(abef~)  1(ab=)      1(ab=)    1(ab=)
`);

// ---------------------------------------------------------------------------------------------------------------------
// Destinations of their own. The endpoints are a, b, e, f; policy Cluster where nothing is said.

export const destinations = table(`
service       to                           pod     self    remote-pod  node    other-node  client

mixed         load balancer unset          abef~   abef~   abef~       abef~   abef~       abef~
mixed         load balancer Proxy          o       o       o           o       o           o
mixed         node port at secondary       o       o       o           o       o           o
mixed         node port at loopback        .       .       .           o       .           .
mixed         ClusterIP wrong port         x       x       x           x       x           x
mixed         ClusterIP node port          x       x       x           x       x           x
mixed         external IP wrong port       o       o       o           o       o           o
mixed         load balancer wrong port     o       o       o           o       o           o
mixed         load balancer node port      o       o       o           o       o           o
mixed         node's address, port         x       x       x           x       x           x
mixed         unallocated                  -       -       -           -       -           -

tcp-only      ClusterIP                    abef=   a~bef=  abef=       abef~   abef~       abef~
tcp-only      ClusterIP wrong protocol     x       x       x           x       x           x
tcp-only      load balancer wrong protocol o       o       o           o       o           o
tcp-only      node port wrong protocol     o       o       o           o       o           o

cluster-ip    ClusterIP                    abef=   a~bef=  abef=       abef~   abef~       abef~
cluster-ip    external IP                  abef~   abef~   abef~       abef~   abef~       abef~
cluster-ip    node port                    o       o       o           o       o           o
cluster-ip    load balancer                o       o       o           o       o           o
node-port     ClusterIP                    abef=   a~bef=  abef=       abef~   abef~       abef~
node-port     node port                    abef~   abef~   abef~       abef~   abef~       abef~
node-port     load balancer                o       o       o           o       o           o
no-ingress    load balancer                o       o       o           o       o           o
no-ingress    node port                    abef~   abef~   abef~       abef~   abef~       abef~
other-proxy   ClusterIP                    -       -       -           -       -           -
other-proxy   load balancer                o       o       o           o       o           o
other-proxy   node port                    o       o       o           o       o           o
`);

/** Several ports and protocols: TCP and UDP 80 lead to different ports of the pods. */
export const ports = table(`
port    to              pod     self    remote-pod  node    other-node  client
tcp/80    ClusterIP       abef=   a~bef=  abef=       abef~   abef~       abef~
udp/80    ClusterIP       ABEF=   A~BEF=  ABEF=       ABEF~   ABEF~       ABEF~
tcp/81    ClusterIP       ABEF=   A~BEF=  ABEF=       ABEF~   ABEF~       ABEF~
udp/81    ClusterIP       x       x       x           x       x           x
tcp/80    load balancer   abef~   abef~   abef~       abef~   abef~       abef~
udp/80    load balancer   ABEF~   ABEF~   ABEF~       ABEF~   ABEF~       ABEF~
tcp/81    load balancer   ABEF~   ABEF~   ABEF~       ABEF~   ABEF~       ABEF~
udp/81    load balancer   o       o       o           o       o           o
tcp/80    node port       abef~   abef~   abef~       abef~   abef~       abef~
udp/80    node port       ABEF~   ABEF~   ABEF~       ABEF~   ABEF~       ABEF~
tcp/81    node port       ABEF~   ABEF~   ABEF~       ABEF~   ABEF~       ABEF~
`);

/**
 * Source ranges. "client" has those of clients, "node" those of the nodes and of clients. A load balancer's address that
 * the node has itself ("-vip"): then the node's own connections come from it.
 */
export const sourceRanges = table(`
service            to              pod     self    remote-pod  node    other-node  client  stranger
ranged-client      load balancer   -       -       -           -       -           abef~   -
ranged-client      external IP     abef~   abef~   abef~       abef~   abef~       abef~   abef~
ranged-client      node port       abef~   abef~   abef~       abef~   abef~       abef~   abef~
ranged-client      ClusterIP       abef=   a~bef=  abef=       abef~   abef~       abef~   abef~
ranged-local       load balancer   -       -       -           -       -           ab=     -
ranged-local       external IP     abef=   a~bef=  abef=       abef~   ab=         ab=     ab=
ranged-node        load balancer   -       -       -           abef~   abef~       abef~   -
ranged-pod         load balancer   abef~   abef~   abef~       -       -           -       -
ranged-node-vip    load balancer   -       -       -           abef~   abef~       abef~   -
ranged-client-vip  load balancer   -       -       -           -       -           abef~   -
ranged-many        load balancer   -       -       -           -       -           abef~   abef~
ranged-none        load balancer   -       -       -           -       -           x       -
`);

// ---------------------------------------------------------------------------------------------------------------------
// After a change. Before it the Service had the endpoints a, b, e, f and policy Cluster, where nothing else is said.

export const changes = table(`
service             to              pod     self    remote-pod  node    other-node  client  stranger

deleted             ClusterIP       -       -       -           -       -           -       -
deleted             external IP     o       o       o           o       o           o       o
deleted             load balancer   o       o       o           o       o           o       o
deleted             node port       o       o       o           o       o           o       o

endpoints-leave     ClusterIP       x       x       x           x       x           x       x
endpoints-leave     load balancer   x       x       x           x       x           x       x
endpoints-leave     node port       x       x       x           x       x           x       x
endpoints-come      ClusterIP       abef=   a~bef=  abef=       abef~   abef~       abef~   abef~
endpoints-come      load balancer   abef~   abef~   abef~       abef~   abef~       abef~   abef~
endpoints-come      node port       abef~   abef~   abef~       abef~   abef~       abef~   abef~
fewer-endpoints     ClusterIP       be=     be=     be=         be~     be~         be~     be~
fewer-endpoints     node port       be~     be~     be~         be~     be~         be~     be~
more-endpoints      ClusterIP       abcefg= a~bcefg= abcefg=    abcefg~ abcefg~     abcefg~ abcefg~
all-terminating     ClusterIP       ae=     a~e=    ae=         ae~     ae~         ae~     ae~
local-leave         load balancer   ef=     ef=     ef=         ef~     -           -       -
other-port          ClusterIP       ABEF=   A~BEF=  ABEF=       ABEF~   ABEF~       ABEF~   ABEF~

to-local            ClusterIP       ab=     a~b=    ab=         ab~     ab~         ab~     ab~
to-local            load balancer   abef=   a~bef=  abef=       abef~   ab=         ab=     ab=
to-local            node port       abef=   a~bef=  abef=       abef~   ab=         ab=     ab=
to-cluster          ClusterIP       abef=   a~bef=  abef=       abef~   abef~       abef~   abef~
to-cluster          load balancer   abef~   abef~   abef~       abef~   abef~       abef~   abef~

to-external-name    ClusterIP       -       -       -           -       -           -       -
to-external-name    load balancer   o       o       o           o       o           o       o
to-external-name    node port       o       o       o           o       o           o       o
from-external-name  ClusterIP       abef=   a~bef=  abef=       abef~   abef~       abef~   abef~
from-external-name  node port       abef~   abef~   abef~       abef~   abef~       abef~   abef~
to-cluster-ip       ClusterIP       abef=   a~bef=  abef=       abef~   abef~       abef~   abef~
to-cluster-ip       node port       o       o       o           o       o           o       o
to-cluster-ip       load balancer   o       o       o           o       o           o       o
to-node-port        node port       abef~   abef~   abef~       abef~   abef~       abef~   abef~

new-ranges          load balancer   -       -       -           -       -           -       abef~
no-ranges           load balancer   abef~   abef~   abef~       abef~   abef~       abef~   abef~
ingress-leaves      load balancer   o       o       o           o       o           o       o
new-ingress         load balancer   abef~   abef~   abef~       abef~   abef~       abef~   abef~
new-affinity        ClusterIP       1(abef=) 1(a~bef=) 1(abef=) 1(abef~) 1(abef~)   1(abef~) 1(abef~)
no-affinity         ClusterIP       abef=   a~bef=  abef=       abef~   abef~       abef~   abef~
`);
