FROM node:20-slim
WORKDIR /pgherd
COPY package.json package-lock.json ./
RUN npm ci --omit=optional
COPY tsconfig.json ./
COPY src src
COPY migrations migrations
ENTRYPOINT ["node", "--import", "tsx", "src/main.ts"]
CMD ["--help"]
