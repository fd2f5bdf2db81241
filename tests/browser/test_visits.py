"""People log in and out of the applications of `docs/examples`, in a browser, at a real server."""

from collections.abc import Callable
from secrets import token_urlsafe

from tests.browser.applications import TOKEN_SECONDS
from tests.browser.people import Person

BAD_REQUEST = 400
TOLD = "/auth/backchannel-logout"


def test_a_person_sees_what_is_theirs_as_long_as_the_visit_lasts(ada: Person) -> None:
    """BT-13: and no script of a page sees a cookie."""
    ada.log_in()
    first = ada.shown()
    cookie = ada.cookies()["__Host-visitor"]

    ada.page.wait_for_timeout((TOKEN_SECONDS + 1) * 1000)
    ada.visit()
    ada.look("after-the-token-expired")

    assert (
        first == ada.shown() == {"sub": "ada", "email": "ada@example.com", "email_verified": True}
    )
    assert ada.page.evaluate("document.cookie") == ""
    assert ada.cookies()["__Host-visitor"] == cookie


def test_a_person_logs_out_here_and_at_the_server(ada: Person) -> None:
    came = list[str]()
    ada.log_in()
    ada.page.on("request", lambda request: came.append(request.url))
    ada.log_out()

    assert ada.home in came
    assert "__Host-visitor" not in ada.cookies()
    ada.visit()
    assert ada.page.locator("[name=login]").is_visible()


def test_a_logout_at_the_server_is_one_here(ada: Person) -> None:
    """BL-02, BL-10: the server tells the application, which no browser has to come to for that."""
    ada.log_in()
    cookie, told = ada.cookies()["__Host-visitor"], ada.application.posts(TOLD, 200)
    ada.visit(f"{ada.application.issuer}/session/end")
    ada.sign_out()
    ada.page.wait_for_selector("text=Success")

    assert ada.application.posts(TOLD, 200) == told + 1
    assert ada.cookies()["__Host-visitor"] == cookie
    ada.visit()
    ada.look("told-by-the-server")
    assert ada.page.locator("[name=login]").is_visible()


def test_the_back_button_shows_nothing_after_a_logout(ada: Person) -> None:
    ada.log_in()
    ada.log_out()

    for step in range(4):
        ada.page.go_back(wait_until="commit")
        ada.page.wait_for_load_state()  # one that was kept is shown at once, and never loads
        ada.look(f"{step + 1}-back")
        assert ada.name not in ada.page.content()


def test_two_tabs_log_in_side_by_side(ada: Person) -> None:
    """AT-14."""
    first, second = ada.page, ada.context.new_page()
    for tab in (first, second):
        tab.goto(ada.home)
    ada.page = first
    ada.agree()
    first.wait_for_url(ada.home)
    ada.page = second
    ada.sign_in()  # they have agreed in the other tab: whose login the second one leaves in force
    second.wait_for_url(ada.home)
    ada.look("second-tab")

    for tab in (first, second):
        ada.page = tab
        tab.reload()
        assert ada.shown()["sub"] == "ada"


def test_a_forged_callback_logs_nobody_in_or_out(ada: Person) -> None:
    """AT-11."""
    forged = f"{ada.application.site}/auth/callback?code={token_urlsafe()}&state={token_urlsafe()}"

    before = ada.visit(forged)
    ada.look("forged")
    ada.log_in()
    after = ada.visit(forged)

    assert [before.status, after.status] == [BAD_REQUEST, BAD_REQUEST]
    ada.visit()
    assert ada.shown()["sub"] == "ada"


def test_a_callback_is_good_once(ada: Person) -> None:
    """AT-12."""
    url = ada.callback()

    ada.visit(url)
    assert ada.shown()["sub"] == "ada"
    again = ada.visit(url)
    ada.look("replayed")

    assert again.status == BAD_REQUEST
    ada.visit()
    assert ada.shown()["sub"] == "ada"


def test_another_browsers_callback_logs_nobody_in(somebody: Callable[[str], Person]) -> None:
    """AT-11: a victim whom an attacker sends to the end of a login of their own."""
    mallory, ada = somebody("mallory"), somebody("ada")
    url = mallory.callback()

    fresh = ada.visit(url)
    ada.look("callback-of-another")
    ada.log_in()
    logged_in = ada.visit(url)

    assert [fresh.status, logged_in.status] == [BAD_REQUEST, BAD_REQUEST]
    ada.visit()
    assert ada.shown()["sub"] == "ada"
    mallory.visit(url)
    assert mallory.shown()["sub"] == "mallory"


def test_two_people_see_only_what_is_theirs(somebody: Callable[[str], Person]) -> None:
    people = [somebody("ada"), somebody("grace")]
    for person in people:
        person.log_in()

    for _ in range(3):
        for person in people:
            person.visit()
            assert person.shown()["sub"] == person.name
    people[0].log_out()
    people[1].visit()

    assert people[1].shown()["sub"] == "grace"
