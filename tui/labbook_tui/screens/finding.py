"""Screens with a prompt in which one types what the view in sight is to find."""

from __future__ import annotations

from labbook_tui.prompt import Prompt
from labbook_tui.screens.base import BaseScreen
from labbook_tui.views.base import View

__all__ = ["FindingScreen"]


class FindingScreen(BaseScreen):
    """A screen with a `Prompt` of id `prompt`; `shown_view` is what searches."""

    @property
    def shown_view(self) -> View:
        """The view in sight."""
        raise NotImplementedError

    def action_find(self) -> None:
        """Type what to find."""
        self.query_one("#prompt", Prompt).open()

    def action_back(self) -> None:
        """Out of a search or an inner page first, then to where this was opened."""
        prompt = self.query_one("#prompt", Prompt)
        if prompt.value:
            prompt.value = ""
            self.shown_view.search("")
        elif not self.shown_view.close():
            self.app.pop_screen()

    def on_prompt_changed(self) -> None:
        """Find while it is typed."""
        prompt = self.query_one("#prompt", Prompt)
        said = self.shown_view.search(prompt.value)
        prompt.tell(said, is_wrong=said.startswith("0 "))

    def on_prompt_closed(self, message: Prompt.Closed) -> None:
        """Escape forgets the search."""
        if not message.kept:
            self.query_one("#prompt", Prompt).value = ""
            self.shown_view.search("")
        self.shown_view.focus()
