"""Every setting of a server, read from SERINUS_* in the environment."""

from serinus.settings.addresses import MASK, masked
from serinus.settings.fields import ServerSettings
from serinus.settings.files import PREFIX
from serinus.settings.reading import Problem, Setting, read_settings, settings_in_force

__all__ = ["MASK", "PREFIX", "Problem", "ServerSettings", "Setting", "masked", "read_settings", "settings_in_force"]
