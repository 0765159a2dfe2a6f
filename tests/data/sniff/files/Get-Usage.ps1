<#
.SYNOPSIS
    Reports folders that use the most space.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)]
    [string]$Path,
    [int]$Top = 10
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

function Get-FolderSize {
    param([string]$Folder)
    $sum = (Get-ChildItem -Path $Folder -Recurse -File | Measure-Object -Property Length -Sum).Sum
    [PSCustomObject]@{ Folder = $Folder; Megabytes = [math]::Round($sum / 1MB, 1) }
}

Get-ChildItem -Path $Path -Directory |
    ForEach-Object { Get-FolderSize -Folder $_.FullName } |
    Sort-Object -Property Megabytes -Descending |
    Select-Object -First $Top |
    Format-Table -AutoSize

Write-Host "done at $(Get-Date -Format o)"
