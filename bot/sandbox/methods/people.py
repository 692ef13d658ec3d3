"""`users.*`, `usergroups.*`, `bots.info`, `team.info`, `auth.test`."""

from __future__ import annotations

from bot.sandbox.methods.call import Call, Method
from bot.sandbox.refusals import SlackError
from bot.sandbox.values import Group, Json, Person


def person_as_slack(call: Call, person: Person) -> Json:
    """Return a user object. Source: https://docs.slack.dev/reference/objects/user-object"""
    profile = {
        "real_name": person.real_name,
        "display_name": person.name,
        "title": person.title,
        "team": call.workspace.team.id,
    }
    if "users:read.email" in call.state.scopes:
        profile["email"] = person.email
    told: Json = {
        "id": person.id,
        "team_id": person.team_id or call.workspace.team.id,
        "name": person.name,
        "deleted": person.deleted,
        "profile": profile,
        "is_bot": person.is_bot,
        "updated": int(call.now),
    }
    if person.deleted:
        return told
    return told | {
        "real_name": person.real_name,
        "tz": person.tz,
        "tz_label": person.tz,
        "tz_offset": person.tz_offset_s(call.now),
        "is_admin": person.is_admin,
        "is_owner": False,
        "is_primary_owner": False,
        "is_restricted": person.is_restricted,
        "is_ultra_restricted": person.is_ultra_restricted,
        "is_stranger": person.is_stranger,
        "is_app_user": False,
        "locale": "en-US",
    }


def info(call: Call) -> Json:
    """Return one person."""
    return {"user": person_as_slack(call, call.person("user"))}


def list_(call: Call) -> Json:
    """Return everybody of this workspace, bots and the deactivated included."""
    people = [p for p in call.workspace.people.values() if not p.is_stranger]
    return {"members": [person_as_slack(call, p) for p in people], "response_metadata": {"next_cursor": ""}}


def lookup_by_email(call: Call) -> Json:
    """Return the active person with this e-mail address."""
    wanted = call.required("email", "users_not_found").lower()
    for person in call.workspace.people.values():
        if person.email.lower() == wanted and not person.deleted:
            return {"user": person_as_slack(call, person)}
    raise SlackError("users_not_found")


def _group_as_slack(call: Call, group: Group) -> Json:
    return {
        "id": group.id,
        "team_id": call.workspace.team.id,
        "is_usergroup": True,
        "name": group.name,
        "handle": group.handle,
        "description": "",
        "date_delete": int(call.now) if group.disabled else 0,
        "user_count": len(group.members),
    }


def groups_list(call: Call) -> Json:
    """Return user groups, disabled ones only when asked for."""
    shown = [g for g in call.workspace.groups.values() if not g.disabled or call.flag("include_disabled")]
    told = [_group_as_slack(call, group) for group in shown]
    if call.flag("include_users"):
        told = [each | {"users": list(group.members)} for each, group in zip(told, shown, strict=True)]
    return {"usergroups": told}


def group_users(call: Call) -> Json:
    """Return the ids of a user group's members."""
    group = call.workspace.groups.get(call.required("usergroup", "no_such_subteam"))
    if group is None or (group.disabled and not call.flag("include_disabled")):
        raise SlackError("no_such_subteam")
    return {"users": list(group.members)}


def bot_info(call: Call) -> Json:
    """Return the app's own bot."""
    app = call.workspace.app
    if call.text("bot", app.bot_id) != app.bot_id:
        raise SlackError("bot_not_found")
    bot = {"id": app.bot_id, "app_id": app.id, "name": app.name, "user_id": app.bot_user, "deleted": False}
    return {"bot": bot | {"updated": int(call.now), "icons": {}}}


def team_info(call: Call) -> Json:
    """Return this workspace."""
    team = call.workspace.team
    if call.text("team", team.id) != team.id:
        raise SlackError("team_not_found")
    return {"team": {"id": team.id, "name": team.name, "domain": team.domain, "email_domain": "", "icon": {}}}


def auth_test(call: Call) -> Json:
    """Say who the token belongs to."""
    workspace = call.workspace
    bot = workspace.people[workspace.app.bot_user]
    return {
        "url": f"{call.state.base_url}/",
        "team": workspace.team.name,
        "user": bot.name,
        "team_id": workspace.team.id,
        "user_id": bot.id,
        "bot_id": workspace.app.bot_id,
        "is_enterprise_install": False,
    }


METHODS = {
    "auth.test": Method(auth_test),
    "bots.info": Method(bot_info, ("users:read",)),
    "team.info": Method(team_info, ("team:read",)),
    "users.info": Method(info, ("users:read",)),
    "users.list": Method(list_, ("users:read",)),
    "users.lookupByEmail": Method(lookup_by_email, ("users:read.email",)),
    "usergroups.list": Method(groups_list, ("usergroups:read",)),
    "usergroups.users.list": Method(group_users, ("usergroups:read",)),
}
