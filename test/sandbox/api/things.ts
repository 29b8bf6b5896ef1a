/** A CRD whose schema has one property for everything that a structural schema can say. */
export const things = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'things.x.io' },
  spec: {
    group: 'x.io',
    scope: 'Namespaced',
    names: { plural: 'things', kind: 'Thing' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: {
          openAPIV3Schema: {
            type: 'object',
            required: ['spec'],
            properties: {
              spec: {
                type: 'object',
                required: ['must'],
                properties: {
                  must: { type: 'string' },
                  str: { type: 'string', minLength: 2, maxLength: 4, pattern: '^[a-z]+$' },
                  en: { type: 'string', enum: ['A', 'B'] },
                  enn: { type: 'integer', enum: [1, 2] },
                  i32: { type: 'integer', format: 'int32', minimum: 1, maximum: 10 },
                  i64: { type: 'integer', format: 'int64' },
                  num: { type: 'number', exclusiveMinimum: true, minimum: 0, maximum: 1, exclusiveMaximum: true },
                  mul: { type: 'integer', multipleOf: 5 },
                  bool: { type: 'boolean' },
                  ios: { 'x-kubernetes-int-or-string': true },
                  ios2: {
                    'x-kubernetes-int-or-string': true,
                    anyOf: [{ type: 'integer' }, { type: 'string' }],
                    pattern: '^[0-9]+$',
                  },
                  list: { type: 'array', minItems: 1, maxItems: 2, items: { type: 'string' } },
                  uniq: { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
                  lmap: {
                    type: 'array',
                    'x-kubernetes-list-type': 'map',
                    'x-kubernetes-list-map-keys': ['name'],
                    items: {
                      type: 'object',
                      required: ['name'],
                      properties: { name: { type: 'string' }, v: { type: 'integer' } },
                    },
                  },
                  lmap2: {
                    type: 'array',
                    'x-kubernetes-list-type': 'map',
                    'x-kubernetes-list-map-keys': ['port', 'protocol'],
                    items: {
                      type: 'object',
                      required: ['port'],
                      properties: { port: { type: 'integer' }, protocol: { type: 'string', default: 'TCP' } },
                    },
                  },
                  map: {
                    type: 'object',
                    minProperties: 1,
                    maxProperties: 2,
                    additionalProperties: { type: 'integer' },
                  },
                  nul: { type: 'string', nullable: true },
                  def: { type: 'string', default: 'x' },
                  ipv4: { type: 'string', format: 'ipv4' },
                  ipv6: { type: 'string', format: 'ipv6' },
                  cidr: { type: 'string', format: 'cidr' },
                  dt: { type: 'string', format: 'date-time' },
                  dur: { type: 'string', format: 'duration' },
                  uuid: { type: 'string', format: 'uuid' },
                  mac: { type: 'string', format: 'mac' },
                  host: { type: 'string', format: 'hostname' },
                  byte: { type: 'string', format: 'byte' },
                  date: { type: 'string', format: 'date' },
                  uri: { type: 'string', format: 'uri' },
                  email: { type: 'string', format: 'email' },
                  kshort: { type: 'string', format: 'k8s-short-name' },
                  klong: { type: 'string', format: 'k8s-long-name' },
                  one: {
                    type: 'object',
                    properties: { a: { type: 'string' }, b: { type: 'string' } },
                    oneOf: [{ required: ['a'] }, { required: ['b'] }],
                  },
                  any: {
                    type: 'object',
                    properties: { a: { type: 'string' }, b: { type: 'string' } },
                    anyOf: [{ required: ['a'] }, { required: ['b'] }],
                  },
                  all: { type: 'integer', allOf: [{ minimum: 3 }, { maximum: 5 }] },
                  not: { type: 'string', not: { pattern: '^no' } },
                  cel: {
                    type: 'integer',
                    'x-kubernetes-validations': [
                      { rule: 'self > 3' },
                      { rule: 'self < 100', message: 'too big' },
                      { rule: 'self != 50', messageExpression: "'not ' + 'fifty'" },
                    ],
                  },
                  imm: {
                    type: 'string',
                    'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'Value is immutable' }],
                  },
                  obj: {
                    type: 'object',
                    properties: { a: { type: 'integer' }, b: { type: 'integer' } },
                    'x-kubernetes-validations': [
                      {
                        rule: '!has(self.a) || !has(self.b) || self.a < self.b',
                        message: 'a below b',
                        fieldPath: '.a',
                        reason: 'FieldValueForbidden',
                      },
                    ],
                  },
                  emb: {
                    type: 'object',
                    'x-kubernetes-embedded-resource': true,
                    'x-kubernetes-preserve-unknown-fields': true,
                  },
                  any2: { 'x-kubernetes-preserve-unknown-fields': true },
                  at: { type: 'array', 'x-kubernetes-list-type': 'atomic', items: { type: 'integer' } },
                  am: {
                    type: 'object',
                    'x-kubernetes-map-type': 'atomic',
                    properties: { a: { type: 'string' }, b: { type: 'string' } },
                  },
                  nested: { type: 'object', default: {}, properties: { d: { type: 'integer', default: 7 } } },
                },
              },
              status: {
                type: 'object',
                properties: {
                  conditions: {
                    type: 'array',
                    'x-kubernetes-list-type': 'map',
                    'x-kubernetes-list-map-keys': ['type'],
                    items: {
                      type: 'object',
                      required: ['type'],
                      properties: { type: { type: 'string' }, status: { type: 'string' } },
                    },
                  },
                },
              },
            },
          },
        },
      },
    ],
  },
};
