"""A private ActiveMQ Classic, as an ordinary user, with STOMP in the clear and over TLS: what Amazon MQ runs.

Who may do what is read from files that the broker looks at again with every login, so that a test can change it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.counterparts.certificates import KEYSTORE_PASSWORD, ServerFiles
from tests.counterparts.ports import free_port, listens
from tests.counterparts.server import Server

#: Of Debian's package.
HOME = Path("/usr/share/activemq")
_MISSING = 'ActiveMQ is not installed: run "make servers", or apt install activemq'
#: They may write and read what begins with `test.`.
USERS: Mapping[str, str] = {"tester": "s3cret"}

_BROKER = """<beans xmlns="http://www.springframework.org/schema/beans"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="http://www.springframework.org/schema/beans
  http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
  http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
 <broker xmlns="http://activemq.apache.org/schema/core" brokerName="t{plain}" useJmx="false"
   dataDirectory="{folder}/data" schedulerSupport="false" advisorySupport="false">
  <persistenceAdapter><kahaDB directory="{folder}/data/kahadb" journalMaxFileLength="4mb"/></persistenceAdapter>
  <plugins>
   <jaasAuthenticationPlugin configuration="tests"/>
   <authorizationPlugin><map><authorizationMap><authorizationEntries>
    <authorizationEntry queue="test.>" read="users" write="users" admin="users"/>
    <authorizationEntry queue=">" read="admins" write="admins" admin="admins"/>
    <authorizationEntry topic=">" read="admins" write="admins" admin="admins"/>
   </authorizationEntries></authorizationMap></map></authorizationPlugin>
  </plugins>
  <sslContext>
   <sslContext keyStore="file:{keystore}" keyStorePassword="{keystore_password}" keyStoreType="PKCS12"/>
  </sslContext>
  <systemUsage><systemUsage>
   <memoryUsage><memoryUsage limit="64 mb"/></memoryUsage>
   <storeUsage><storeUsage limit="256 mb"/></storeUsage>
   <tempUsage><tempUsage limit="64 mb"/></tempUsage>
  </systemUsage></systemUsage>
  <transportConnectors>
   <transportConnector name="stomp" uri="stomp://127.0.0.1:{plain}"/>
   <transportConnector name="stomp+ssl" uri="stomp+ssl://127.0.0.1:{tls}"/>
  </transportConnectors>
 </broker>
</beans>
"""
_LOGIN = """tests {
 org.apache.activemq.jaas.PropertiesLoginModule required
  reload=true
  org.apache.activemq.jaas.properties.user="users.properties"
  org.apache.activemq.jaas.properties.group="groups.properties";
};
"""
_LOG = """log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %c - %m%n
"""


class ActiveServer(Server):
    """One broker, in the clear and over TLS."""

    name = "activemq"

    @classmethod
    def missing(cls) -> str | None:
        return None if (HOME / "bin" / "activemq.jar").exists() and shutil.which("java") is not None else _MISSING

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.tls = free_port(), free_port()
        for name in ("conf", "data", "tmp", "tls"):
            (self._folder / name).mkdir()
        self.files = ServerFiles.make(self._folder / "tls")
        self.allow(USERS)

    def allow(self, users: Mapping[str, str], writers: bool = True) -> None:
        """From now on these may log in, by their passwords; only `writers` may do more."""
        conf = self._folder / "conf"
        _replace(conf / "users.properties", "".join(f"{name}={_escaped(word)}\n" for name, word in users.items()))
        _replace(conf / "groups.properties", f"users={','.join(users) if writers else ''}\n")

    def _launch(self) -> None:
        conf = self._folder / "conf"
        (conf / "activemq.xml").write_text(
            _BROKER.format(
                folder=self._folder,
                plain=self.plain,
                tls=self.tls,
                keystore=self.files.keystore,
                keystore_password=KEYSTORE_PASSWORD,
            )
        )
        (conf / "login.config").write_text(_LOGIN)
        (conf / "log4j.properties").write_text(_LOG)
        self._spawn(*self._command())

    def _answers(self) -> bool:
        return listens(self.plain) and listens(self.tls)

    def _command(self) -> list[str]:
        folder, conf = self._folder, self._folder / "conf"
        modules = ("java.security", "java.net", "java.lang", "java.util")
        opened = (word for module in modules for word in ("--add-opens", f"java.base/{module}=ALL-UNNAMED"))
        return [
            "java",
            "-Xmx192m",
            # The machine is the tests': a short life is not worth a second collector or the best compiler.
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            *opened,
            f"-Djava.io.tmpdir={folder / 'tmp'}",
            f"-Djava.security.auth.login.config={conf / 'login.config'}",
            f"-Dactivemq.classpath={conf}",
            f"-Dactivemq.home={HOME}",
            f"-Dactivemq.base={folder}",
            f"-Dactivemq.conf={conf}",
            f"-Dactivemq.data={folder / 'data'}",
            "-jar",
            str(HOME / "bin" / "activemq.jar"),
            "start",
            f"xbean:file:{conf / 'activemq.xml'}",
        ]


def _replace(path: Path, text: str) -> None:
    # At once: a login that reads half a file, and nobody in it, would be the last to look at it.
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def _escaped(value: str) -> str:
    # java.util.Properties: Latin-1, with these escapes.
    return "".join(each if each.isascii() and each.isalnum() else f"\\u{ord(each):04x}" for each in value)
