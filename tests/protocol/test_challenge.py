import json
from pathlib import Path
from time import process_time

import pytest

from oauthkit.protocol.challenge import Challenge, parse_challenges

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "rfc6750.json").read_text())


def test_the_published_challenges_are_read() -> None:
    """BT-06: RFC 6750 §3."""
    plain = parse_challenges([VECTORS["challenge_without_error"]["value"]])
    expired = parse_challenges([VECTORS["challenge_of_an_expired_token"]["value"]])

    assert plain == (Challenge("bearer", {"realm": "example"}),)
    assert plain[0].error is None
    assert expired[0].error == "invalid_token"
    assert expired[0].parameters["error_description"] == "The access token expired"


@pytest.mark.parametrize("scope", VECTORS["scopes"]["values"])
def test_the_needed_scope_is_told(scope: str) -> None:
    """BT-10."""
    header = f'Bearer error="insufficient_scope", scope="{scope}"'

    (challenge,) = parse_challenges([header])

    assert (challenge.error, challenge.scope) == ("insufficient_scope", scope)


def test_several_challenges_in_several_lines_come_in_order() -> None:
    """BT-06."""
    challenges = parse_challenges(
        [
            'Newauth realm="a", type=1, title="Go to \\"apps\\", or not", Basic realm="simple"',
            "Negotiate YWJj/+==, bEaReR ERROR=invalid_token , scope=read",
            "DPoP",
        ]
    )

    assert challenges == (
        Challenge("newauth", {"realm": "a", "type": "1", "title": 'Go to "apps", or not'}),
        Challenge("basic", {"realm": "simple"}),
        Challenge("negotiate", token68="YWJj/+=="),
        Challenge("bearer", {"error": "invalid_token", "scope": "read"}),
        Challenge("dpop"),
    )


@pytest.mark.parametrize(
    "value",
    [
        'Bearer realm = "a"',
        'Bearer\trealm="a"',
        ',, Bearer ,realm="a",,',
        'bearer   realm  =  "a"  ',
    ],
)
def test_white_space_and_empty_elements_are_passed_over(value: str) -> None:
    """BT-06."""
    assert parse_challenges([value]) == (Challenge("bearer", {"realm": "a"}),)


@pytest.mark.parametrize("name", ["realm", "scope", "error"])
def test_a_parameter_that_stands_there_twice_makes_the_challenge_malformed(name: str) -> None:
    """BT-07."""
    (challenge,) = parse_challenges([f'Bearer {name}="one", {name.upper()}="two"'])

    assert challenge.malformed
    assert challenge.parameters == {name: "one"}
    assert (challenge.error, challenge.scope) == (None, None)


def test_the_next_challenge_of_a_malformed_one_is_sound() -> None:
    """BT-07."""
    first, second = parse_challenges(['Basic realm=a, realm=b, Bearer error="invalid_token"'])

    assert first.malformed
    assert second.error == "invalid_token"


def test_a_server_that_leaves_the_scheme_out_is_understood() -> None:
    assert parse_challenges(['error="invalid_token", realm=a', 'error="x"']) == (
        Challenge("", {"error": "invalid_token", "realm": "a"}),
        Challenge("", {"error": "x"}),
    )


@pytest.mark.parametrize(
    "value, found",
    [
        ("", ()),
        (",", ()),
        ('"', ()),
        ("\\", ()),
        ("=", ()),
        ("é", ()),
        ('Bearer realm="open', ("bearer",)),
        ('Bearer realm="open\\', ("bearer",)),
        ('Bearer realm="a" nonsense, Basic', ("bearer", "basic")),
        ('Bearer realm=é, Basic realm="b"', ("bearer", "basic")),
        ("Bearer realm=", ("bearer",)),
        ('"quoted, text" Basic, Bearer', ("bearer",)),
        ("Bearer\r\nX-Injected: 1", ()),
    ],
)
def test_what_cannot_be_understood_is_passed_over(value: str, found: tuple[str, ...]) -> None:
    """AT-61."""
    assert tuple(challenge.scheme for challenge in parse_challenges([value])) == found


def test_only_the_first_16_kib_of_all_lines_are_looked_at() -> None:
    """AT-61."""
    filler = "x" * 16_383

    assert parse_challenges([f"{filler},", "Bearer"]) == (Challenge(filler),)


@pytest.mark.parametrize(
    "unit",
    [
        '\\",',
        '\\"a,',
        '"\\,',
        '",',
        'a="',
        'a="\\',
        '"',
        "a ",
        "a=",
        "=,",
        "a=a,",
        "Basic a=,",
        "\ta",
    ],
)
def test_a_header_made_to_be_slow_is_read_in_a_moment(unit: str) -> None:
    """AT-61."""
    started = process_time()

    parse_challenges([unit * 65_536])

    assert process_time() - started < 3.0


def test_ten_thousand_parameters_are_no_trouble() -> None:
    """AT-61."""
    (challenge,) = parse_challenges(["Bearer " + ",".join(f"p{n}=1" for n in range(10_000))])

    assert 1_000 < len(challenge.parameters) < 10_000


def test_the_parameters_of_a_challenge_cannot_be_changed() -> None:
    (challenge,) = parse_challenges(["Bearer realm=a"])

    with pytest.raises(TypeError):
        challenge.parameters["realm"] = "b"  # type: ignore[index]
