# The controller's image: `npm ci && npm run build`, then `docker build -f deploy/images/controller.Dockerfile -t fairlead/controller:0.1.0 .`
FROM node:24-bookworm-slim
COPY dist /fairlead
USER 65532:65532
ENV NODE_ENV=production
ENTRYPOINT ["node", "--max-semi-space-size=8", "/fairlead/fairlead.js"]
