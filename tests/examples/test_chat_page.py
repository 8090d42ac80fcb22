"""The chat in a real browser: one body of tests for both frameworks and both clients."""

from __future__ import annotations

import re

import pytest
from example_outage import tunnel_to
from example_pages import CLIENTS, FRAMEWORKS, Visitors, connected, start_example
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.servers, pytest.mark.timeout(120)]


def join(page: Page, name: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Join").click()


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send").click()


def messages(page: Page) -> Locator:
    return page.locator(".message p")


def people(page: Page) -> Locator:
    return page.get_by_label("People").locator("li button > span:not(.face)")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_people_talk(visitors: Visitors, framework: str, client: str) -> None:
    with start_example("chat", framework) as server:
        ada, grace = visitors.open(server.url, client), visitors.open(server.url, client)

        join(ada, "Ada")
        join(grace, "ada")
        expect(grace.locator("#refusal code")).to_have_text("NAME_TAKEN")
        expect(grace.locator("#refusal")).to_contain_text("Ada is here already.")
        join(grace, "Grace")
        for page in (ada, grace):
            expect(people(page)).to_have_text(["Ada", "Grace"])
        expect(ada.locator(".notice").last).to_have_text("Grace joined")

        grace.get_by_label("Message", exact=True).press_sequentially("hel")
        expect(ada.locator("#typing")).to_have_text("Grace is typing…")
        expect(ada.locator("#typing")).to_have_text("")
        say(grace, "hello <b>Ada</b> \N{WAVING HAND SIGN}")
        for page in (ada, grace):
            expect(messages(page)).to_have_text(["hello <b>Ada</b> \N{WAVING HAND SIGN}"])
        expect(grace.locator(".mine")).to_have_count(1)
        expect(ada.locator(".mine")).to_have_count(0)

        grace.get_by_label("Name of a room").fill("compilers")
        grace.get_by_role("button", name="Enter the room").click()
        say(grace, "one pass is enough")
        ada.get_by_label("Rooms").get_by_role("button", name="compilers").click()
        expect(messages(ada)).to_have_text(["one pass is enough"])
        expect(grace.locator(".notice")).to_have_text(["Ada joined"])

        ada.get_by_label("People").get_by_role("button", name="Grace").click()
        say(ada, "psst")
        expect(grace.get_by_label("1 unread")).to_be_visible()
        expect(grace).to_have_title("(1) Chat")
        grace.get_by_label("People").get_by_role("button", name="Ada").click()
        expect(messages(grace)).to_have_text(["psst"])
        expect(grace).to_have_title("Chat")

        # A reload is nobody's business.
        grace.get_by_label("Rooms").get_by_role("button", name="lobby").click()
        ada.reload()
        expect(messages(ada)).to_have_text(["hello <b>Ada</b> \N{WAVING HAND SIGN}"])
        connected(ada)
        say(ada, "I am back")
        expect(messages(grace).last).to_have_text("I am back")
        expect(grace.locator(".notice")).to_have_count(1)
        assert sorted(ada.request.get(f"{server.url}/online").json()["people"]) == ["Ada", "Grace"]

        grace.close()
        expect(ada.locator(".notice").last).to_have_text("Grace left")
        expect(ada.get_by_role("heading", name="People")).to_have_text("People 1")
        # What she has said in private can still be read.
        expect(ada.get_by_label("People").get_by_role("button", name="Grace")).to_contain_text("gone")
        assert visitors.hosts == {server.address}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_said_without_a_network_arrives_once(visitors: Visitors, client: str) -> None:
    with start_example("chat") as server, tunnel_to(server) as tunnel:
        ada = visitors.open(tunnel.address, client)
        grace = visitors.open(server.url, "official" if client == "holdfast" else "holdfast")
        join(ada, "Ada")
        join(grace, "Grace")
        expect(people(grace)).to_have_text(["Ada", "Grace"])
        say(ada, "before")
        expect(messages(grace)).to_have_text(["before"])
        # It has its time when the server has answered.
        expect(ada.locator(".mine .who")).to_have_text(re.compile(r"\d"))

        tunnel.close()
        for text in ("in the tunnel", "still in it"):
            say(ada, text)
        expect(ada.locator(".waiting")).to_have_count(2)
        say(grace, "where are you?")
        tunnel.open()
        expect(ada.locator(".waiting")).to_have_count(0)
        connected(ada)
        say(ada, "out again")
        expected = ["before", "in the tunnel", "still in it", "out again"]
        expect(grace.locator(".message:not(.mine) p")).to_have_text(expected)
        expect(ada.locator(".mine p")).to_have_text(expected)
        expect(ada.locator(".message:not(.mine) p")).to_have_text(["where are you?"])
        for page in (ada, grace):
            expect(people(page)).to_have_text(["Ada", "Grace"])


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_said_while_the_server_is_restarted_arrives_once(visitors: Visitors, client: str) -> None:
    with start_example("chat") as server:
        ada, grace = visitors.open(server.url, client), visitors.open(server.url, client)
        join(ada, "Ada")
        join(grace, "Grace")
        expect(people(ada)).to_have_text(["Ada", "Grace"])
        grace.get_by_label("Name of a room").fill("compilers")
        grace.get_by_role("button", name="Enter the room").click()
        expect(grace.get_by_role("heading", name="#compilers")).to_be_visible()
    expect(ada.locator("#connection")).to_have_text(re.compile("disconnected|waiting"))
    say(ada, "anybody?")
    say(grace, "one pass")
    expect(ada.locator(".waiting")).to_have_count(1)
    with start_example("chat", port=server.port):
        for page in (ada, grace):
            connected(page)
            expect(page.locator(".waiting")).to_have_count(0)
        expect(people(ada)).to_have_text(["Ada", "Grace"])
        # Both are where they were.
        expect(messages(grace)).to_have_text(["one pass"])
        grace.get_by_label("Rooms").get_by_role("button", name="lobby").click()
        for page in (ada, grace):
            expect(messages(page)).to_have_text(["anybody?"])
