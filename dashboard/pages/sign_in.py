"""The page to sign in, as plain HTML: it works without a script.

Every text is escaped; addresses are those of this program, made by whoever calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Final

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
STYLES: Final = ("tokens.css", "main.css", "sign_in.css")
_DOCUMENT: Final = Template("""<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">$refresh
    <title>$title · Tallyboard</title>
    <link rel="icon" type="image/svg+xml" href="$base/assets/mark.svg">
    <script src="$base/assets/head.js"></script>
    $styles
  </head>
  <body>
    <main class="tb-sign-in">
      <p class="tb-brand"><span class="tb-mark"></span><span class="tb-brand-name">Tallyboard</span></p>
      <h1>$title</h1>
      $body
    </main>
  </body>
</html>
""")
_FORM: Final = Template("""<form method="post" action="$base/sign-in">
        <input type="hidden" name="next" value="$next">
        <label for="key">Key</label>
        <input id="key" name="key" type="password" class="tb-input" required autofocus autocomplete="current-password"
          autocapitalize="off" spellcheck="false" placeholder="tb_…"$described>
        $error<button class="tb-button tb-primary">Sign in</button>
      </form>
      <p class="tb-note">A key with the scope <code>read</code>. Whoever runs Tallyboard makes one:
        <code>tallyboard key create NAME --scope read</code></p>""")
_ERROR: Final = Template("""<p class="tb-error" id="error" role="alert">$error</p>
        """)
_SIGNED_IN: Final = Template("""<p>With the key <strong>$name</strong> ($id).</p>
      <form method="post" action="$base/sign-out"><button class="tb-button">Sign out</button></form>
      <p class="tb-note"><a href="$base/">To the overview</a></p>""")
_ON: Final = Template('<p><a href="$address">Go on</a></p>')


@dataclass(frozen=True, slots=True)
class Frame:
    """What the pages have in common: the path in front of addresses, and the folder with styles."""

    base: str
    assets: Path

    def form(self, following: str, error: str | None = None) -> str:
        """The page that asks for a key; `following` is the address of ours to go on to."""
        said = "" if error is None else _ERROR.substitute(error=escape(error))
        described = "" if error is None else ' aria-invalid="true" aria-describedby="error"'
        form = _FORM.substitute(base=self.base, next=escape(following), error=said, described=described)
        return self._document("Sign in", form)

    def signed_in(self, name: str, key_id: str) -> str:
        """Who is signed in, and the way out."""
        return self._document("Signed in", _SIGNED_IN.substitute(base=self.base, name=escape(name), id=escape(key_id)))

    def again(self, address: str) -> str:
        """A page that asks for an address of ours once more, as a page of ours."""
        shown = escape(self.base + address)
        refresh = f'\n    <meta http-equiv="refresh" content="0; url={shown}">'
        return self._document("One moment", _ON.substitute(address=shown), refresh)

    def _document(self, title: str, body: str, refresh: str = "") -> str:
        styles = "\n    ".join(
            f'<link rel="stylesheet" href="{self.base}/assets/{name}?m={int((self.assets / name).stat().st_mtime)}">'
            for name in STYLES
        )
        return _DOCUMENT.substitute(title=title, base=self.base, styles=styles, body=body, refresh=refresh)
