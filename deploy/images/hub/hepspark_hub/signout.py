"""What a sign-out ends."""

from typing import Any

from jupyterhub import orm
from jupyterhub.handlers.login import LogoutHandler


def end_sign_ins(db: Any, user: orm.User) -> None:
    """Have no cookie work any more that a user has, in whatever browser; tokens that the user made stay.

    JupyterHub itself only asks the browser to forget its cookies: a copy would work until it expires.

    Args:
        db: Session of the hub's database.
        user: Whose cookies.
    """
    user.cookie_id = orm.new_token()
    # A server's cookie holds a token of the session in which the user came to the server.
    for token in db.query(orm.APIToken).filter(orm.APIToken.user_id == user.id, orm.APIToken.session_id.is_not(None)):
        db.delete(token)
    db.commit()


class SignOutHandler(LogoutHandler):  # type: ignore[misc] # it ships no type information
    """Signs a user out everywhere."""

    async def handle_logout(self) -> None:
        """What follows JupyterHub's own sign-out."""
        await super().handle_logout()
        if self.current_user:
            end_sign_ins(self.db, self.current_user.orm_user)
