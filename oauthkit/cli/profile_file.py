"""The file of profiles: where it is, what stands in it, and one profile more."""

import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self, cast

import attrs
import platformdirs

from oauthkit.cli.directories import users_own
from oauthkit.cli.profile import Profile
from oauthkit.errors import ConfigurationError, printable

_OWNER_ONLY: Final = 0o700
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\"}
_SETTINGS: Final = {"default": str, "store_key_keyring": bool, "profiles": dict}


@attrs.frozen(kw_only=True)
class ProfileFile:
    """What stands in the file of profiles.

    Attributes:
        path: Where it is.
        text: All of it.
        default: Which profile is used where none is named.
        store_key_keyring: Whether tokens are sealed with a key from the system's keyring.
        tables: The profiles, as they stand there.
    """

    path: Path
    text: str = attrs.field(default="", repr=False)
    default: str | None = None
    store_key_keyring: bool = False
    tables: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """Return what stands in a file; one that is not there is empty.

        Args:
            path: Where it is; None is the one of this user.

        Raises:
            ConfigurationError: It is no TOML, or has something else in it.
        """
        path = path or default_path()
        try:
            text = path.read_text(encoding="utf-8")
            settings = tomllib.loads(text)
        except FileNotFoundError:
            return cls(path=path)
        except (OSError, RecursionError, ValueError) as error:
            message = f"the profiles in {path} cannot be read: {printable(str(error))}"
            raise ConfigurationError(message) from None
        for name, value in settings.items():
            if not isinstance(value, _SETTINGS.get(name, ())):
                message = (
                    f"{printable(name)} in {path} means nothing, or is of another kind; there are "
                    "default (a text), store_key_keyring (true or false) and tables [profiles.NAME]"
                )
                raise ConfigurationError(message)
        tables = cast("dict[str, Any]", settings.pop("profiles", {}))
        return cls(path=path, text=text, tables=tables, **settings)

    def profile(self, name: str | None) -> Profile:
        """Return a profile.

        Args:
            name: Which one; None is the default, or the only one.

        Raises:
            ConfigurationError: There is none, or several and no default; or it cannot work.
        """
        only = next(iter(self.tables)) if len(self.tables) == 1 else None
        name = name or self.default or only
        table = self.tables.get(name or "")
        if name is None or not isinstance(table, dict):
            there = ", ".join(map(printable, self.tables)) or "none"
            what = "no profile is named" if name is None else f"there is no {printable(name)!r}"
            message = (
                f"{what}; {self.path} has {there}; name one by --profile, or make one by: oauthkit "
                "login --issuer URL --client-id ID --save NAME"
            )
            raise ConfigurationError(message)
        return Profile.read(name, cast("dict[str, Any]", table))

    def others(self, profile: Profile) -> list[Profile]:
        """Return the profiles of other servers; one that cannot be read is left out."""
        found: list[Profile] = []
        for name, table in self.tables.items():
            try:
                other = Profile.read(name, table)
            except (AttributeError, ConfigurationError):
                continue
            same = (profile.issuer, profile.token_endpoint)
            if (other.issuer, other.token_endpoint) != same:
                found.append(other)
        return found

    def checked_new(self, profile: Profile) -> Profile:
        """Return a profile that can be written here.

        Raises:
            ConfigurationError: There is another one of its name.
        """
        if self.tables.get(profile.name, profile.members()) != profile.members():
            message = (
                f"{self.path} has another profile {profile.name!r}; save under another name, or "
                "edit the file"
            )
            raise ConfigurationError(message)
        return profile

    def with_profile(self, profile: Profile) -> "ProfileFile":
        """Write one profile more at the end of the file; what stands there stays as it is.

        Raises:
            ConfigurationError: There is another profile of this name, or it could not be written.
        """
        table = self.checked_new(profile).members()
        if profile.name in self.tables:
            return self
        lines = [f"{name} = {_toml(value)}" for name, value in table.items()]
        gap = "\n" if self.text else ""
        text = f"{self.text.rstrip()}\n{gap}[profiles.{profile.name}]\n".lstrip("\n")
        text += "\n".join(lines) + "\n"
        written = attrs.evolve(self, text=text, tables={**self.tables, profile.name: table})
        try:
            tomllib.loads(text)  # where tables stand in one line, none can be added below
            _replace(self.path, text)
        except (OSError, ValueError) as error:
            message = f"the profile could not be written to {self.path}: {printable(str(error))}"
            raise ConfigurationError(message) from None
        return written


def default_path() -> Path:
    """Return where the profiles of this user are.

    Raises:
        ConfigurationError: There is no such place.
    """
    return users_own(platformdirs.user_config_path, variable="OAUTHKIT_CONFIG") / "profiles.toml"


def _replace(path: Path, text: str) -> None:
    """Write a file whole, for its owner alone; a link to it stays one."""
    path = path.resolve()
    path.parent.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    file = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed below, and gone if that fails
        "w", encoding="utf-8", dir=path.parent, prefix=".profiles-", delete=False
    )
    try:
        with file:
            file.write(text)
        Path(file.name).replace(path)
    except BaseException:
        Path(file.name).unlink()
        raise


def _toml(value: object) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, cast('list[object]', value)))}]"
    return '"' + "".join(map(_character, str(value))) + '"'


def _character(character: str) -> str:
    if character < " " or character == "\x7f":
        return f"\\u{ord(character):04x}"
    return _ESCAPES.get(character, character)
