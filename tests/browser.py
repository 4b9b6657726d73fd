"""Chromium without a window, drawing by software: for tests that look at pages."""

import base64
import io
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--hide-scrollbars",
)  # fmt: skip
SECONDS = 120
"""Patience with a page, on a machine that has much to do."""


class Browser:
    """One window, and what a test wants of it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def resize(self, width: int, height: int, scheme: str = "light") -> None:
        """Size in pixels; the user's colour scheme. Nothing moves by itself."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        media = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in media.items()]
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, path: Path) -> None:
        """Open a file and wait until its scripts have ended; forget what it or others told the console before."""
        self.driver.get_log("browser")
        self.driver.get(path.as_uri())
        self.wait_for("window.humanmesh || !document.getElementById('message').hidden")

    def wait_for(self, condition: str) -> None:
        """Wait until a JavaScript expression holds."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, SECONDS, 0.05).until(lambda _: self.ask(f"return Boolean({condition})"))

    def ask(self, script: str) -> Any:
        """What a piece of JavaScript returns; a promise is waited for."""
        return self.driver.execute_script(script)

    def press(self, keys: str) -> None:
        """Strike keys wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver, duration=0).send_keys(keys).perform()

    def screen(self) -> np.ndarray:
        """(height, width, 3) uint8: what the user sees."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB"))

    def complaints(self) -> list[str]:
        """Errors that the page told the console since it was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@contextmanager
def chromium(profile: Path) -> Generator[Browser, None, None]:
    """A browser with a new profile; the test is skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install selenium")
    from selenium.webdriver.chrome.service import Service

    program, driver_program = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver_program is None:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_program))
    try:
        driver.set_page_load_timeout(SECONDS)
        driver.set_script_timeout(SECONDS)
        yield Browser(driver)
    finally:
        driver.quit()
