// Starts Swagger UI with what the page says. PKCE is on; no scope is chosen in advance.
"use strict";

const options = JSON.parse(document.getElementById("options").textContent);

const ui = SwaggerUIBundle({
  url: options.document,
  dom_id: "#documentation",
  oauth2RedirectUrl: options.redirectUri,
  deepLinking: true,
  persistAuthorization: false,
  displayRequestDuration: true,
  validatorUrl: null,
});

ui.initOAuth({
  clientId: options.clientId,
  usePkceWithAuthorizationCodeGrant: true,
});
