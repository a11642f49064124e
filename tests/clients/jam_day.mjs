// A day in the life of jmap-jam (npm), unmodified. It is told where by the environment, does one thing after the other,
// and prints what it saw as JSON on one line; the test of tests/conformance/jmap/test_jmap_client_jam.py judges it.
import JamClient from "jmap-jam";

const { JAM_SESSION_URL: sessionUrl, JAM_TOKEN: bearerToken, JAM_EMAIL: delivered } = process.env;

// Node 20 has no EventSource. The client makes one by this name, which in a browser would send the credentials that it has.
globalThis.EventSource = class {
  constructor(url) {
    this.aborter = new AbortController();
    this.opened = fetch(url, {
      headers: { Accept: "text/event-stream", Authorization: `Bearer ${bearerToken}` },
      signal: this.aborter.signal
    });
  }

  /** The next event: its name, id and data. */
  async next() {
    const reader = (await this.opened).body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the stream ended");
      text += value;
      for (let at; (at = text.indexOf("\n\n")) >= 0; text = text.slice(at + 2)) {
        const lines = text.slice(0, at).split("\n").map((line) => line.split(/: ?(.*)/s));
        const fields = Object.fromEntries(lines.filter(([name]) => name));
        if (fields.event === "state") return { ...fields, data: JSON.parse(fields.data) };
      }
    }
  }

  close() {
    this.aborter.abort();
  }
};

const seen = {};
const jam = new JamClient({ sessionUrl, bearerToken });
const accountId = await jam.getPrimaryAccount();
seen.session = { accountId, username: (await jam.session).username };

// List and read, in one request
const [{ boxes }] = await jam.requestMany((t) => {
  const found = t.Mailbox.query({ accountId, filter: { role: "inbox" } });
  return { found, boxes: t.Mailbox.get({ accountId, ids: found.$ref("/ids"), properties: ["name", "role", "totalEmails"] }) };
});
const inbox = boxes.list[0];
const [{ list, emails, threads }] = await jam.requestMany((t) => {
  const list = t.Email.query({
    accountId, filter: { inMailbox: inbox.id }, sort: [{ property: "receivedAt", isAscending: false }], limit: 10
  });
  const emails = t.Email.get({
    accountId, ids: list.$ref("/ids"), properties: ["subject", "threadId", "from", "textBody", "bodyValues", "header:To:asAddresses"],
    fetchTextBodyValues: true
  });
  return { list, emails, threads: t.Thread.get({ accountId, ids: emails.$ref("/list/*/threadId") }) };
});
const email = emails.list.find((one) => one.id === delivered);
seen.read = {
  ids: list.ids, subject: email.subject, from: email.from, to: email["header:To:asAddresses"],
  text: email.bodyValues[email.textBody[0].partId].value, thread: threads.list[0].emailIds
};

// Search
const [found] = await jam.api.Email.query({ accountId, filter: { operator: "AND", conditions: [{ subject: "hello" }, { body: "bonjour" }] } });
const [nothing] = await jam.api.Email.query({ accountId, filter: { text: "nowhere" }, calculateTotal: true });
seen.search = { found: found.ids, total: nothing.total };

// Be pushed to, while flags and folders change
const events = await jam.connectEventSource({ types: ["Email", "Mailbox"], ping: 0, closeafter: "state" });
if (!(await events.opened).ok) throw new Error(`events: ${(await events.opened).status}`);
const [before] = await jam.api.Email.get({ accountId, ids: [] });
const [made] = await jam.api.Mailbox.set({ accountId, create: { box: { name: "Choses à faire" } } });
const box = made.created.box.id;
const [moved] = await jam.api.Email.set({
  accountId, ifInState: made.newState,
  update: { [delivered]: { "keywords/$seen": true, "keywords/$flagged": true, mailboxIds: { [box]: true } } }
});
seen.pushed = (await events.next()).data;
events.close();
const [changes] = await jam.api.Email.changes({ accountId, sinceState: before.state });
seen.moved = { updated: moved.updated, changed: changes.updated, state: changes.newState === moved.newState };

// Upload, import, write a draft with the upload, and fetch it again
const letter = `From: Ana <ana@x.example>\r\nSubject: By jam\r\nMessage-ID: <${bearerToken.slice(0, 12)}@x.example>\r\n\r\nHello\r\n`;
const blob = await jam.uploadBlob(accountId, letter, { headers: { Authorization: jam.authHeader, "Content-Type": "message/rfc822" } });
const [imported, meta] = await jam.api.Email.import(
  { accountId, emails: { i: { blobId: blob.blobId, mailboxIds: { [inbox.id]: true } } } }, { createdIds: {} }
);
const twice = await jam.api.Email.import({ accountId, emails: { i: { blobId: blob.blobId, mailboxIds: { [inbox.id]: true } } } });
seen.imported = {
  type: blob.type, size: blob.size === letter.length, notCreated: imported.notCreated,
  createdIds: meta.createdIds.i === imported.created.i.id, twice: twice[0].notCreated.i.type
};
const [draft] = await jam.api.Email.set({
  accountId,
  create: {
    d: {
      mailboxIds: { [box]: true }, keywords: { $draft: true, $seen: true }, subject: "Brouillon",
      from: [{ name: "Moi", email: seen.session.username }], to: [{ name: null, email: "ana@x.example" }],
      bodyStructure: {
        type: "multipart/mixed",
        subParts: [{ partId: "t", type: "text/plain" }, { blobId: blob.blobId, type: "message/rfc822", name: "lettre.eml" }]
      },
      bodyValues: { t: { value: "Ci-joint.\n" } }
    }
  }
});
const [{ list: [written] }] = await jam.api.Email.get({ accountId, ids: [draft.created.d.id], properties: ["subject", "attachments", "hasAttachment"] });
const part = written.attachments[0];
const downloaded = await jam.downloadBlob({ accountId, blobId: part.blobId, mimeType: "text/plain", fileName: "lettre.txt" });
seen.draft = {
  subject: written.subject, hasAttachment: written.hasAttachment, name: part.name, same: (await downloaded.text()) === letter,
  type: downloaded.headers.get("content-type"), disposition: downloaded.headers.get("content-disposition")
};

// Destroy it, and be told plainly what goes wrong
const [gone] = await jam.api.Email.set({ accountId, destroy: [draft.created.d.id, "nothing"] });
seen.destroyed = { destroyed: gone.destroyed.length, notDestroyed: gone.notDestroyed.nothing.type };
seen.errors = [];
for (const wrong of [["Email/get", { accountId: "nobody", ids: [] }], ["Email/query", { accountId, filter: { nonsense: true } }]]) {
  await jam.request(wrong).catch((error) => seen.errors.push(error.type));
}
console.log(JSON.stringify(seen));
