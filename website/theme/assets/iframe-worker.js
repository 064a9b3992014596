/* Browsers start no workers for pages that are read from disk. There, what would be a worker runs in a hidden frame. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const home = new URL(url, document.baseURI).href;
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      const asked = new EventTarget();
      const listen = inside.addEventListener.bind(inside);
      inside.addEventListener = (type, ...rest) =>
        type === "message" ? asked.addEventListener(type, ...rest) : listen(type, ...rest);
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = (...urls) =>
        Promise.all(urls.map((each) => new Promise((done, failed) => {
          const script = inside.document.createElement("script");
          script.src = new URL(each, home);
          script.onload = done;
          script.onerror = failed;
          inside.document.body.append(script);
        })));
      this.loaded = inside.importScripts(home);
      this.postMessage = (data) => this.loaded.then(() => asked.dispatchEvent(new MessageEvent("message", { data })));
      this.terminate = () => frame.remove();
    }
  };
}
