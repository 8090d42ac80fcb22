// XMLHttpRequest over node:http, as far as a client of HTTP needs it, and as strict as browsers and React Native are:
// text grows while it comes, an abort tells once, and nothing may be set before open.

import { request } from "node:http";

export class XMLHttpRequest {
  readyState = 0;
  status = 0;
  responseText = "";
  responseType = "";
  withCredentials = false;
  onreadystatechange = null;
  #headers = {};
  #request;

  open(method, url) {
    Object.assign(this, { method, url });
    this.#become(1);
  }

  setRequestHeader(name, value) {
    if (this.readyState != 1 || this.#request) throw new DOMException("not opened", "InvalidStateError");
    this.#headers[name] = String(value);
  }

  send(body = null) {
    if (this.readyState != 1) throw new DOMException("not opened", "InvalidStateError");
    this.#request = request(this.url, { method: this.method, headers: this.#headers }, (response) => {
      this.status = response.statusCode;
      this.#become(2);
      response.setEncoding("utf8");
      response.on("data", (text) => {
        this.responseText += text;
        this.#become(3);
      });
      response.on("end", () => this.#become(4));
      response.on("error", () => this.#fail());
    });
    this.#request.on("error", () => this.#fail());
    this.#request.end(body);
  }

  abort() {
    this.#request?.destroy();
    this.#fail();
  }

  #fail() {
    if (this.readyState == 4 || !this.#request) return;
    this.status = 0;
    this.responseText = "";
    this.#become(4);
  }

  #become(state) {
    if (this.readyState == 4) return;
    this.readyState = state;
    this.onreadystatechange?.({ type: "readystatechange" });
  }
}
