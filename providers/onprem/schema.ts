/** The kinds that on-prem keeps its reservations in. deploy/crds.ts generates their CRDs from here. */
import { z } from 'zod';

const namespace = z.string().min(1);
const name = z.string().min(1);

const blockUser = z
  .object({
    namespace,
    name,
    uid: z.string().min(1),
    ports: z.array(z.string()).meta({
      description: 'Ports that it occupies at the address, as TCP/80; sorted.',
      'x-kubernetes-list-type': 'atomic',
    }),
    sharingKey: z.string().meta({ description: 'Empty: the address is not shared.' }),
    backendKey: z
      .string()
      .meta({ description: 'Users of one address have the same; empty for externalTrafficPolicy Cluster.' }),
    retainMs: z
      .int()
      .min(0)
      .optional()
      .meta({ description: "The Service's own fairlead.dev/retain in ms; absent: that of the pool." }),
  })
  .meta({ description: 'A Service that holds the address.' });

const retention = z
  .object({
    namespace,
    name,
    until: z.string().meta({ description: 'RFC 3339; afterwards the address is free.', format: 'date-time' }),
  })
  .meta({ description: 'A deleted Service that gets the address back when it returns under the same name.' });

const blockAddress = z.object({
  pool: z.string().meta({ description: 'Name of the IPAddressPool that the address was taken from.' }),
  users: z.array(blockUser).optional().meta({ 'x-kubernetes-list-type': 'atomic' }),
  retained: z.array(retention).optional().meta({ 'x-kubernetes-list-type': 'atomic' }),
});

/** What Fairlead owns of an IPBlock: the reserved addresses of one IPv4 /24 or IPv6 /120. */
export const ipBlockSchema = z
  .object({
    spec: z.object({
      cidr: z.string().meta({
        description: 'The block: an IPv4 /24 or an IPv6 /120, in the text that its name is made of.',
        'x-kubernetes-validations': [
          { rule: 'self == oldSelf', message: 'a block keeps its cidr; make another block' },
        ],
      }),
      addresses: z.record(z.string(), blockAddress).meta({
        description: 'Reserved addresses, by their text (RFC 5952). An address that is not here is free.',
        maxProperties: 256,
        // Checking and tracking each of 256 entries costs the API server 30 ms at every write, three fifths of it. Only
        // Fairlead writes them, and it reads them with care.
        'x-kubernetes-preserve-unknown-fields': true,
        'x-kubernetes-map-type': 'atomic',
      }),
    }),
  })
  .meta({
    description:
      'Reserved load-balancer addresses of one block. Written by Fairlead only: the address of a Service is here before it is in its status.',
  });

export type IPBlockSpec = Readonly<z.infer<typeof ipBlockSchema>['spec']>;
export type BlockAddress = Readonly<z.infer<typeof blockAddress>>;
export type BlockUser = Readonly<z.infer<typeof blockUser>>;
export type Retention = Readonly<z.infer<typeof retention>>;
