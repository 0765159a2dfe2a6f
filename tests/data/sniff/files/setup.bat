@echo off
setlocal enabledelayedexpansion
rem Installs the program for the current user.

set TARGET=%LOCALAPPDATA%\Example
if not exist "%TARGET%" mkdir "%TARGET%"

for %%F in (*.exe *.dll) do (
    echo copying %%F
    copy /Y "%%F" "%TARGET%" >nul
    if errorlevel 1 goto failed
)

reg add "HKCU\Environment" /v EXAMPLE_HOME /d "%TARGET%" /f >nul
echo installed to %TARGET%
pause
exit /b 0

:failed
echo could not copy, is the program running?
exit /b 1
