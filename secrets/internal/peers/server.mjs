// An OAuth server with a person who always consents, and the API behind it.
// Configuration comes from the environment, the address goes to standard output.
import { Provider } from "oidc-provider";
import http from "node:http";

const config = JSON.parse(process.env.PEERS_CONFIG);
const server = http.createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: config.clients,
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
    },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: async () => true,
    ttl: { AccessToken: config.life, ClientCredentials: config.life, RefreshToken: 3600, Grant: 3600, Session: 3600, Interaction: 600, AuthorizationCode: 60 },
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
    findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    interactions: { url: (_ctx, i) => `/interaction/${i.uid}` },
    cookies: { keys: ["only for tests"] },
  });
  let asked = 0;
  provider.use(async (ctx, next) => {
    if (ctx.path.startsWith("/interaction/")) {
      ctx.respond = false;
      const { prompt, params } = await provider.interactionDetails(ctx.req, ctx.res);
      if (prompt.name === "login") {
        await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: "ana" } });
        return;
      }
      const grant = new provider.Grant({ clientId: params.client_id, accountId: "ana" });
      grant.addOIDCScope(params.scope);
      await provider.interactionFinished(ctx.req, ctx.res, { consent: { grantId: await grant.save() } });
      return;
    }
    if (ctx.path === "/api") {
      const [, token] = (ctx.get("authorization") || "").split(" ");
      const found = (await provider.AccessToken.find(token)) || (await provider.ClientCredentials.find(token));
      ctx.status = found && !found.isExpired ? 200 : 401;
      ctx.body = { who: found ? found.accountId || found.clientId : "", asked };
      return;
    }
    if (ctx.path === "/token") asked++;
    await next();
  });
  server.on("request", provider.callback());
  process.stdout.write(`listening on ${issuer}\n`);
});
